/* lane.c: the thread of a queue rank: takes calls, runs them under one attach, rests when there are none. */
#include "engine/queue.h"
#include "engine/states.h"

#define ANY_TURN 16 /* one in so many turns asks first for a call that any rank may run */

_Thread_local iso__lane *iso__lane_here;
_Thread_local iso_rank *iso__lane_rank;

static iso__queue *
queue_of(const iso__lane *lane)
{
    return lane->rank->engine->queue;
}

static bool
has_work(void *argument)
{
    iso__lane *lane = argument;
    iso__queue *queue = queue_of(lane);
    return !iso__ring_empty(&lane->own) || !iso__ring_empty(&queue->any) || atomic_load(&queue->closing) ||
           atomic_load(&lane->rank->mail) != NULL;
}

/* The lines of a task that a call reads lie in the submitter's cache: all are asked for at once, not one
 * after the other. */
static void
fetch(const void *task)
{
    for (int line = 0; task != NULL && line < 10; line++)
        __builtin_prefetch((const char *)task + line * 64);
}

/* Submitters that sleep before a full ring are woken when it has become half empty, and again when it is
 * empty: not for each call. */
static iso_task *
take(iso__ring *ring)
{
    iso_task *task = iso__ring_pop(ring);
    fetch(task);
    fetch(task != NULL ? iso__ring_peek(ring) : NULL);
    if (task != NULL && atomic_load_explicit(&ring->sleepers, memory_order_relaxed) > 0) {
        size_t left = iso__ring_count(ring);
        if (left == ring->mask / 2 || left == 0)
            iso__queue_give_room(ring);
    }
    return task;
}

static iso_task *
next_task(iso__lane *lane)
{
    iso__queue *queue = queue_of(lane);
    iso_task *task = (++lane->turn & (ANY_TURN - 1)) == 0 ? take(&queue->any) : NULL;
    if (task != NULL)
        return task;
    task = take(&lane->own);
    if (task == NULL)
        return take(&queue->any);
    if (!iso__ring_empty(&queue->any))
        iso__queue_wake_idle(queue); /* this rank is busy with its own */
    return task;
}

/* Moves what the rank lends out of its frame into the task, by exchange: nothing is copied. */
static void
keep_result(iso_rank *rank, iso_task *task, const iso_result *result)
{
    iso__frame *frame = &rank->frames[rank->depth];
    task->result = *result;
    if (result->edits == &frame->own_edits) {
        iso_edits edits = task->edits;
        task->edits = frame->own_edits;
        frame->own_edits = edits;
        iso__edits_clear(&frame->own_edits);
        task->result.edits = &task->edits;
    }
    if (result->error.p != NULL && result->error.p == frame->error.p) {
        iso__text error = task->error;
        task->error = frame->error;
        frame->error = error;
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

void
iso__lane_run(iso_rank *rank, iso_task *task)
{
    iso__lane *lane = rank->lane;
    bool outermost = rank->depth == 0;
    iso_result result;
    atomic_store_explicit(&task->rank, rank->number, memory_order_relaxed);
    if (outermost)
        atomic_store_explicit(&lane->running, task, memory_order_release);
    iso_python_exec(rank, task->method, &task->msg, task->extra, &result);
    if (!(task->flags & ISO_SUBMIT_FORGET) && iso__task_claim_end(task)) {
        keep_result(rank, task, &result);
        iso__task_publish(task);
    } else if (ISO__UNLIKELY(outermost && atomic_load_explicit(&rank->watch.answered, memory_order_relaxed))) {
        note_late_end(rank, task, &result);
    }
    if (outermost && !is_replaced(rank))
        atomic_store_explicit(&lane->running, NULL, memory_order_release);
}

#define SPENT_MOST 32

static void
give_spent(iso__lane *lane)
{
    if (lane->spent != NULL)
        iso__pool_give(lane->spent, lane->last_spent);
    lane->spent = lane->last_spent = NULL;
    lane->spent_count = 0;
}

/* A call whose result nobody wants: nobody can let go of it, and nobody else holds it. */
static void
run_forgotten(iso__lane *lane, iso_rank *rank, iso_task *task)
{
    iso__lane_run(rank, task);
    if (is_replaced(rank)) {
        iso__pool_give(task, task);
        return;
    }
    if (lane->spent == NULL)
        lane->last_spent = task;
    task->next = lane->spent;
    lane->spent = task;
    if (++lane->spent_count == SPENT_MOST)
        give_spent(lane);
}

/* Runs what waits, attached once for all of it. */
static void
drain(iso__lane *lane, iso_rank *rank, iso_task *task)
{
    iso__queue *queue = queue_of(lane);
    iso__rank_hold(rank);
    do {
        if (task->flags & ISO_SUBMIT_FORGET) {
            run_forgotten(lane, rank, task);
        } else {
            if (iso__task_claim(task))
                iso__lane_run(rank, task);
            iso__task_drop(task);
        }
        if (is_replaced(rank)) {
            iso__rank_let_go(rank);
            return;
        }
        if (atomic_load_explicit(&queue->closing, memory_order_relaxed) ||
            atomic_load_explicit(&rank->mail, memory_order_relaxed) != NULL)
            break;
        task = next_task(lane);
    } while (task != NULL);
    give_spent(lane);
    iso__rank_let_go(rank);
}

static void
rest(iso__lane *lane)
{
    iso__queue *queue = queue_of(lane);
    int i = lane->rank->number - 1;
    if (iso__spin_until(&lane->spin, has_work, lane))
        return;
    atomic_store(&lane->asleep, 1);
    atomic_fetch_or(&queue->sleeping[i / 64], UINT64_C(1) << (i % 64));
    while (!has_work(lane) && atomic_load(&lane->asleep))
        iso__futex_wait(&lane->asleep, 1, -1);
    atomic_fetch_and(&queue->sleeping[i / 64], ~(UINT64_C(1) << (i % 64)));
    atomic_store(&lane->asleep, 0);
}

static void
serve(iso__lane *lane, iso_rank *rank)
{
    iso__queue *queue = queue_of(lane);
    while (!atomic_load(&queue->closing)) {
        iso_task *task = next_task(lane);
        if (task != NULL)
            drain(lane, rank, task);
        if (is_replaced(rank))
            return;
        if (atomic_load(&rank->mail) != NULL)
            iso__mail_service(rank);
        else if (task == NULL)
            rest(lane);
    }
}

void
iso__lane_serve(iso__lane *lane, iso_rank *rank)
{
    serve(lane, rank);
    if (is_replaced(rank))
        iso__rank_leave(rank); /* from here the engine may be gone */
    else
        iso_rank_close(rank);
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
