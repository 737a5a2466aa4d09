/* lane.c: the thread of a queue rank: takes calls, runs them under one attach, rests when there are none. */
#include <sched.h>

#include "engine/barrier.h"
#include "engine/clock.h"
#include "engine/queue.h"
#include "engine/states.h"

#define ANY_TURN 16 /* one in so many turns asks first for a call that any rank may run */

ISO__THREAD iso__lane *iso__lane_here;
ISO__THREAD iso_rank *iso__lane_rank;

static iso__queue *
queue_of(const iso__lane *lane)
{
    return lane->rank->engine->queue;
}

static bool
is_asked(const iso__lane *lane)
{
    return atomic_load(&queue_of(lane)->closing) || atomic_load(&lane->rank->mail) != NULL;
}

/* While it spins. */
static bool
has_work(void *argument)
{
    iso__lane *lane = argument;
    return iso__ring_has_value(&lane->own) || iso__ring_has_value(&queue_of(lane)->any) || is_asked(lane);
}

/* After it has said that it sleeps. */
static bool
may_sleep(iso__lane *lane)
{
    return iso__ring_empty(&lane->own) && iso__ring_empty(&queue_of(lane)->any) && !is_asked(lane) &&
           !iso__spare_left(queue_of(lane));
}

#define FETCH_AHEAD 4 /* calls; a line comes from the submitter's cache in about the time of two */

static inline iso_task *
task_of(const iso__entry *entry)
{
    return atomic_load_explicit(&entry->value, memory_order_relaxed);
}

/* Whether a call needs more of its task than came with the ring. */
static inline bool
needs_lines(const iso__lane *lane, const iso__entry *entry)
{
    uint32_t none = ISO__TASK_PLAIN | ISO__TASK_FORGET;
    return (entry->bits & none) != none || lane->reads;
}

/* The lines of a task that a call needs lie in the submitter's cache: all are asked for at once, not one after the other.
 * The first one gets the answer; the octets begin with the extra, and a message is read if the one before was. */
static inline void
fetch(const iso__lane *lane, const iso__entry *entry)
{
    const iso_task *task = task_of(entry);
    if (!needs_lines(lane, entry))
        return;
    iso__line_claim(task);
    if (lane->reads || !(entry->bits & ISO__TASK_PLAIN))
        iso__line_fetch(task->small);
    if (lane->reads)
        iso__line_fetch(&task->msg);
}

/* Submitters that sleep before a full ring are woken when it has become half empty, and again when it is
 * empty: not for each call. */
static void
give_room(iso__ring *ring, size_t taken)
{
    size_t left = iso__ring_count(ring), half = ring->mask / 2;
    if (left == 0 || (left <= half && left + taken > half))
        iso__queue_give_room(ring);
}

static size_t
take(iso__ring *ring, iso__entry *entries, size_t most)
{
    size_t n = iso__ring_pop_some(ring, entries, most);
    if (n == ISO__AHEAD)
        iso__ring_fetch(ring, n); /* there is more, and who wrote it is further on by now */
    if (n > 0 && atomic_load_explicit(&ring->sleepers, memory_order_relaxed) > 0)
        give_room(ring, n);
    return n;
}

/* While this rank is busy, another one is woken if more waits that it may run. */
static void
wake_another(iso__queue *queue, size_t waiting)
{
    if (waiting > 0 || iso__spare_left(queue))
        iso__queue_wake_idle(queue);
}

static __attribute__((noinline)) const iso__entry *
take_any(iso__lane *lane)
{
    iso__queue *queue = queue_of(lane);
    iso__entry entries[ISO__TOGETHER];
    size_t waiting = iso__ring_count(&queue->any), n = 0;
    if (waiting > 0)
        n = take(&queue->any, entries, iso__spare_share(lane, waiting));
    lane->took_any = n > 0;
    if (n == 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        fetch(lane, &entries[i]);
    iso__entry_set(&lane->any, task_of(&entries[0]), entries[0].bits);
    iso__spare_keep(lane, entries + 1, n - 1);
    wake_another(queue, waiting - 1);
    return &lane->any;
}

/* One of another rank; as if it came from the ring. */
static const iso__entry *
take_spare(iso__lane *lane, bool (*of)(iso__lane *, iso__entry *))
{
    if (!of(lane, &lane->any))
        return NULL;
    lane->took_any = true;
    wake_another(queue_of(lane), iso__ring_count(&queue_of(lane)->any));
    return &lane->any;
}

/* Takes some calls at once, of which the first is run now. Another rank is woken for those that it could run. */
static __attribute__((noinline)) const iso__entry *
take_some(iso__lane *lane)
{
    int n = (int)take(&lane->own, lane->ahead, ISO__AHEAD);
    if (n == 0)
        return NULL;
    /* Not of one alone: who waits for it looks at that line, and would take it back. */
    for (int i = n == 1; i < n && i <= FETCH_AHEAD; i++)
        fetch(lane, &lane->ahead[i]);
    atomic_store_explicit(&lane->ahead_next, 1, memory_order_relaxed);
    atomic_store_explicit(&lane->ahead_count, n, memory_order_release);
    iso__barrier_here(); /* with iso__queue_close */
    wake_another(queue_of(lane), iso__ring_count(&queue_of(lane)->any));
    if (atomic_load(&queue_of(lane)->closing))
        iso__queue_refuse_ahead(lane);
    return lane->ahead;
}

/* Asks for the lines of a call that comes soon. `next`: of those taken ahead. */
static __attribute__((noinline)) void
fetch_ahead(iso__lane *lane, int next, int count)
{
    int further = next + FETCH_AHEAD;
    iso__entry coming;
    if (further < count)
        fetch(lane, &lane->ahead[further]);
    else if (iso__ring_peek(&lane->own, (size_t)(further - count), &coming))
        fetch(lane, &coming);
}

/* The next call that only this rank may run. */
static inline const iso__entry *
take_own(iso__lane *lane)
{
    int next = atomic_load_explicit(&lane->ahead_next, memory_order_relaxed);
    int count = atomic_load_explicit(&lane->ahead_count, memory_order_relaxed);
    if (next == count)
        return take_some(lane);
    atomic_store_explicit(&lane->ahead_next, next + 1, memory_order_relaxed);
    const iso__entry *entry = &lane->ahead[next];
    if (needs_lines(lane, entry))
        fetch_ahead(lane, next, count); /* calls mostly come in a row of one kind */
    return entry;
}

void
iso__lane_refuse(iso__lane *lane)
{
    for (const iso__entry *call; (call = take_own(lane)) != NULL;)
        iso__task_end_refused(task_of(call));
}

/* In a turn in which what any rank may run comes first. */
static __attribute__((noinline)) const iso__entry *
any_or_own(iso__lane *lane)
{
    const iso__entry *call = take_spare(lane, iso__spare_of_another);
    if (call == NULL)
        call = take_any(lane);
    return call != NULL ? call : take_own(lane);
}

/* It stays where it is until the next one is taken, if need be by the thread of a rank that replaces this one. */
static inline const iso__entry *
next_call(iso__lane *lane)
{
    if (iso__spare_any(&lane->spare) && iso__spare_next(lane, &lane->any))
        return &lane->any;
    if (ISO__UNLIKELY((++lane->turn & (ANY_TURN - 1)) == 0))
        return any_or_own(lane);
    const iso__entry *call = take_own(lane);
    return call != NULL ? call : take_any(lane);
}

/* Moves what the rank lends out of its frame into the task, by exchange: nothing is copied. What is absent
 * is so in the task already, which spares the submitter a line of the cache. */
static void
keep_result(iso_rank *rank, iso_task *task, const iso_result *result)
{
    iso__frame *frame = &rank->frames[rank->depth];
    /* One load of the two, which the compiler would make of it, waits until both stores have left the store buffer. */
    task->result.code = *(volatile const int *)&result->code;
    task->result.outcome = *(volatile const int *)&result->outcome;
    task->result.elapsed_ns = result->elapsed_ns;
    if (result->edits != NULL) {
        iso_edits edits = task->edits;
        task->edits = frame->own_edits;
        frame->own_edits = edits;
        iso__edits_clear(&frame->own_edits);
        task->result.edits = &task->edits;
        task->result.new_uri = result->new_uri;
        task->result.dst_uri = result->dst_uri;
    }
    if (result->error.p != NULL) {
        if (result->error.p == frame->error.p) {
            iso__text error = task->error;
            task->error = frame->error;
            frame->error = error;
        }
        task->result.error = result->error;
    }
}

/* Whether the rank was replaced in the middle of a call: its thread must not touch the lane any more. */
static inline bool
is_replaced(const iso_rank *rank)
{
    return ISO__UNLIKELY(atomic_load_explicit(&rank->state, memory_order_acquire) == ISO__RANK_REPLACED);
}

/* The submitter was answered at the deadline, and does not see this result. */
static void
note_late_end(iso_rank *rank, const iso_task *task, const iso_result *result)
{
    atomic_store(&rank->watch.answered, 0);
    if (result->outcome == ISO_OUTCOME_RETURNED)
        iso__count(&rank->counters.failures[ISO_OUTCOME_DEADLINE], 1);
    iso__log(rank->engine, ISO_LOG_WARN, rank->number,
             "python_exec(\"%.64s\"): ended (%s, code %d) after its caller was told that the deadline had passed",
             task->method, iso_outcome_name(result->outcome), result->code);
}

/* ---- submitters that are woken together ---- */

#define SHORT_NS 200000u /* a rank whose calls take longer wakes each submitter at once */
#define LATE_NS 500000u  /* and no submitter is left asleep for longer by one that runs short ones */

static void
wake_sleepers(iso__lane *lane)
{
    for (int i = 0; i < lane->sleeper_count; i++)
        iso__futex_wake(lane->sleepers[i], INT32_MAX); /* its task may be another call's by now: no harm */
    lane->sleeper_count = 0;
}

/* A patient submitter sleeps on the word, at the end of an outermost call. `before`: when one began before that. */
static void
wake_later(iso__lane *lane, _Atomic uint32_t *word, uint64_t before, uint64_t now)
{
    if (iso__clock_ns(now - before) > SHORT_NS) {
        iso__futex_wake(word, INT32_MAX);
        return;
    }
    if (lane->sleeper_count == 0)
        lane->oldest_sleeper = now;
    lane->sleepers[lane->sleeper_count++] = word;
    if (lane->sleeper_count == ISO__SLEEPERS)
        wake_sleepers(lane);
}

/* Of an outermost call. The clock costs a tenth of all else: for calls that were taken together it was read when they were. */
static inline void
note_end(iso__lane *lane, _Atomic uint32_t *word, bool patient, uint32_t bits)
{
    bool together = (bits & ISO__TASK_ANY) != 0;
    if (!patient && (together || !iso__cores_are_short(1)))
        return;
    uint64_t now = iso__clock_ticks();
    if (patient)
        wake_later(lane, word, together ? lane->spare.since : lane->last_end, now);
    lane->last_end = now;
}

/* Before the next call: no sleeper must wait too long, and who runs out of calls needs the sleepers' next ones. */
static inline void
mind_sleepers(iso__lane *lane)
{
    if (lane->sleeper_count == 0)
        return;
    bool last = iso__lane_waiting(lane) == 0 && iso__ring_empty(&queue_of(lane)->any);
    if (last || iso__clock_ns(iso__clock_ticks() - lane->oldest_sleeper) > LATE_NS)
        wake_sleepers(lane);
}

/* ---- running ---- */

static inline void
run_method(iso_rank *rank, iso_task *task, uint32_t bits, iso_result *result)
{
    if (ISO__LIKELY(bits & ISO__TASK_PLAIN)) {
        const char *method = iso__names[bits >> ISO__TASK_METHOD & (ISO__NAMES - 1)];
        iso__exec_usual(rank, method, &task->msg, (iso_str){NULL, 0}, (iso__usual)(bits & ISO__TASK_USUAL), result);
    } else {
        iso__exec_usual(rank, task->method, &task->msg, task->extra, task->usual, result);
    }
}

/* Runs a call whose result is wanted, or was, nested if the rank is in one. */
static void
run(iso__lane *lane, iso_rank *rank, iso_task *task, uint32_t bits, uint32_t holder)
{
    bool outermost = rank->depth == 0;
    iso_result result;
    if (bits & ISO__TASK_ANY)
        atomic_store_explicit(&task->rank, rank->number, memory_order_relaxed); /* for who waits (wait.c) */
    if (outermost)
        atomic_store_explicit(&lane->running, task, memory_order_release);
    run_method(rank, task, bits, &result);
    if (outermost && !is_replaced(rank)) {
        if ((bits & ISO__TASK_ANY) && !iso__spare_any(&lane->spare))
            iso__line_claim(&queue_of(lane)->any.head); /* another rank had it last, and next_call needs it */
        atomic_store_explicit(&lane->running, NULL, memory_order_release);
    }
    if (ISO__UNLIKELY(outermost && atomic_load_explicit(&rank->watch.answered, memory_order_relaxed)))
        note_late_end(rank, task, &result);
    atomic_store_explicit(&task->rank, rank->number, memory_order_relaxed);
    keep_result(rank, task, &result);
    _Atomic uint32_t *word = &task->state;
    bool patient = iso__task_publish(task, holder);
    if (!outermost || is_replaced(rank)) {
        if (patient)
            iso__futex_wake(word, INT32_MAX);
        return;
    }
    note_end(lane, word, patient, bits);
}

/* A call whose result nobody wants: nobody can let go of it, refuse it or wait for it. Not nested. */
static void
run_forgotten(iso__lane *lane, iso_rank *rank, iso_task *task, uint32_t bits)
{
    iso_result dropped;
    run_method(rank, task, bits, &dropped);
    if (is_replaced(rank) || (!(bits & ISO__TASK_SMALL) && !iso__pool_accepts(task))) {
        iso__pool_give_one(task);
        return;
    }
    iso__bundle *spent = lane->spent;
    int place = spent->count++;
    if (place % ISO__BUNDLE_LINE == 0)
        iso__line_claim(&spent->tasks[place + ISO__BUNDLE_LINE]); /* a submitter emptied the bundle */
    spent->tasks[place] = task;
    if (spent->count == ISO__BUNDLE)
        lane->spent = iso__pool_give(spent);
}

void
iso__lane_run(iso_rank *rank, iso_task *task, uint32_t holder)
{
    uint32_t bits = iso__task_bits(task);
    iso_result dropped;
    if (bits & ISO__TASK_FORGET)
        run_method(rank, task, bits, &dropped);
    else
        run(rank->lane, rank, task, bits, holder);
}

/* Whether a call that was taken is still wanted. */
static inline bool
is_wanted(const iso__queue *queue, iso_task *task, uint32_t bits)
{
    if (ISO__LIKELY(!(bits & ISO__TASK_ANY) && atomic_load_explicit(&queue->pool->let_go, memory_order_relaxed) == 0 &&
                    !atomic_load_explicit(&queue->closing, memory_order_relaxed)))
        return true;
    return iso__task_claim(task, (bits & ISO__TASK_ANY) != 0);
}

static bool
spin_briefly(iso__lane *lane)
{
    return iso__spin_briefly(has_work, lane);
}

static bool
spin_long(iso__lane *lane)
{
    return iso__spin_until(&lane->spin, true, has_work, lane);
}

static bool
yield_once(iso__lane *lane)
{
    sched_yield();
    return has_work(lane);
}

/* Waits for work. Meanwhile nobody wakes another rank for what comes for any: if this one leaves some of it, it does so
 * itself (take_any, take_some, take_spare). */
static bool
look_out(iso__lane *lane, bool (*wait)(iso__lane *))
{
    iso__queue *queue = queue_of(lane);
    iso__lane *self = lane;
    bool took_any = lane->took_any, done;
    if (took_any)
        atomic_store(&queue->spinner, lane);
    done = wait(lane);
    if (took_any)
        atomic_compare_exchange_strong(&queue->spinner, &self, NULL);
    return done;
}

/* Pauses: nobody who was answered comes again sooner, and each look takes the ring's line from him. */
#define LOOK_LATER 8

/* The next call after the last one that was there, without a detach in between. Who was answered mostly comes again at
 * once, and to attach anew costs as much as to wait for that, 2 us at most. If he waits for a core, he gets this one
 * first, unless the script has threads of its own, which would wait for the GIL as long. Ranks of one interpreter want
 * the GIL from each other. */
static const iso__entry *
linger(iso__lane *lane, iso_rank *rank)
{
    if (iso__rank_in_main(rank))
        return NULL;
    if (iso__cores_are_short(0)) {
        if (!iso__rank_is_alone(rank))
            return NULL;
        wake_sleepers(lane);
        iso__spare_rest(lane);
        return look_out(lane, yield_once) ? next_call(lane) : NULL;
    }
    if (lane->spin.most == 0)
        return NULL;
    iso__pauses(LOOK_LATER);
    return look_out(lane, spin_briefly) ? next_call(lane) : NULL;
}

/* Runs what waits, attached once for all of it. */
static void
drain(iso__lane *lane, iso_rank *rank, const iso__entry *call)
{
    iso__queue *queue = queue_of(lane);
    iso__rank_hold(rank);
    do {
        iso_task *task = task_of(call);
        uint32_t bits = call->bits;
        if (bits & ISO__TASK_FORGET)
            run_forgotten(lane, rank, task, bits);
        else if (is_wanted(queue, task, bits))
            run(lane, rank, task, bits, ISO__HELD_BY_QUEUE);
        if (is_replaced(rank)) {
            iso__rank_let_go(rank);
            return; /* sleepers that are left wake by themselves (ISO__PATIENCE_NS) */
        }
        lane->reads = rank->frames[0].slot.index.complete;
        if (atomic_load_explicit(&queue->closing, memory_order_relaxed) ||
            atomic_load_explicit(&rank->mail, memory_order_relaxed) != NULL)
            break;
        call = next_call(lane);
        mind_sleepers(lane);
        if (call == NULL)
            call = linger(lane, rank);
    } while (call != NULL);
    wake_sleepers(lane);
    iso__spare_rest(lane);
    lane->spent = iso__pool_give(lane->spent);
    iso__rank_let_go(rank);
}

/* Returns when there is work, if nobody else takes it first. */
static void
rest(iso__lane *lane)
{
    iso__queue *queue = queue_of(lane);
    int i = lane->rank->number - 1;
    if (look_out(lane, spin_long))
        return;
    atomic_fetch_sub(&iso__awake, 1);
    atomic_store(&lane->asleep, 1);
    atomic_fetch_or(&queue->sleeping[i / 64], UINT64_C(1) << (i % 64));
    while (may_sleep(lane) && atomic_load(&lane->asleep))
        iso__futex_wait(&lane->asleep, 1, -1);
    atomic_fetch_and(&queue->sleeping[i / 64], ~(UINT64_C(1) << (i % 64)));
    atomic_store(&lane->asleep, 0);
    atomic_fetch_add(&iso__awake, 1);
}

static void
serve(iso__lane *lane, iso_rank *rank)
{
    iso__queue *queue = queue_of(lane);
    bool rested = false;
    atomic_fetch_add(&iso__awake, 1);
    while (!atomic_load(&queue->closing)) {
        const iso__entry *call = next_call(lane);
        if (call == NULL)
            call = take_spare(lane, iso__spare_of_others);
        if (call != NULL)
            drain(lane, rank, call);
        else if (rested)
            sched_yield(); /* a submitter has its turn in a ring, and perhaps lost its core before the call was there */
        if (is_replaced(rank))
            break;
        rested = call == NULL && atomic_load(&rank->mail) == NULL;
        if (rested)
            rest(lane);
        else if (atomic_load(&rank->mail) != NULL)
            iso__mail_service(rank);
    }
    atomic_fetch_sub(&iso__awake, 1);
}

void
iso__lane_serve(iso__lane *lane, iso_rank *rank)
{
    serve(lane, rank);
    if (is_replaced(rank)) {
        iso__rank_leave(rank); /* from here the engine may be gone */
    } else {
        iso__lane_refuse(lane);
        iso__spare_refuse(lane);
        iso_rank_close(rank);
    }
}

void *
iso__lane_main(void *argument)
{
    iso__lane *lane = argument;
    iso_engine *engine = lane->rank->engine;
    iso_rank *rank = NULL;
    iso__lane_here = lane;
    iso__lane_rank = lane->rank;
    int status = iso_rank_open(engine, iso__lane_rank->number, &rank, lane->start_error);
    pthread_mutex_lock(&engine->lock);
    lane->status = status;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
    if (status == 0)
        iso__lane_serve(lane, rank);
    return NULL;
}
