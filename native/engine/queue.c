/* queue.c: starting and ending the ranks of a queue engine, and handing calls to them. */
#include "engine/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/barrier.h"
#include "engine/caller.h"
#include "engine/settings.h"
#include "engine/states.h"
#include "engine/thread.h"

#define RANK_STACK (8u << 20) /* CPython's measure of recursion fits this (docs/limits.md) */
#define SLICE_NS 1000000000   /* how long a submitter sleeps before it looks again by itself */

/* ---- start ---- */

/* Ranks of the channel inline keep an empty lane, so that number i is at [i - 1]. */
static int
make_lane(iso__queue *queue, int i, iso_error *err)
{
    const iso_config *config = &queue->engine->config;
    iso__lane *lane = &queue->lanes[i];
    lane->rank = iso__rank_of(queue->engine, i + 1);
    if (lane->rank->settings.channel != ISO_CHANNEL_QUEUE)
        return 0;
    lane->rank->lane = lane;
    queue->lane_count++;
    iso__spin_set(&lane->spin, queue->pool->spin_us);
    lane->spent = iso__bundle_new();
    if (lane->spent == NULL || !iso__ring_init(&lane->own, (size_t)config->queue_size))
        return iso__fail(err, ISO_ENOMEM, "no memory for the queue of rank %d", i + 1);
    return 0;
}

int
iso__queue_new(iso_engine *engine, iso_error *err)
{
    bool wanted = false;
    for (int i = 0; i < engine->config.ranks; i++)
        wanted = wanted || iso__rank_of(engine, i + 1)->settings.channel == ISO_CHANNEL_QUEUE;
    if (!wanted)
        return 0;
    iso__queue *queue = iso__lines_new(sizeof *queue);
    if (queue == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory for the queues");
    engine->queue = queue;
    queue->engine = engine;
    iso__barrier_setup();
    queue->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    queue->pool = iso__pool_new(iso__spin_limit((uint32_t)(engine->config.spin / ISO__US)));
    queue->lanes = iso__lines_new(sizeof(iso__lane) * (size_t)engine->config.ranks);
    if (queue->pool == NULL || queue->lanes == NULL || !iso__ring_init(&queue->any, (size_t)engine->config.queue_size))
        return iso__fail(err, ISO_ENOMEM, "no memory for the queues");
    if (queue->fd < 0)
        return iso__fail(err, ISO_EINTERNAL, "no descriptor for completions: %s", strerror(errno));
    for (int i = 0; i < engine->config.ranks; i++) {
        int failed = make_lane(queue, i, err);
        if (failed)
            return failed;
    }
    return 0;
}

int
iso__lane_start(iso__lane *lane, void *(*run)(void *lane), iso_error *err)
{
    lane->status = 1;
    lane->start_error = err;
    int failed = iso__thread_start(&lane->thread, RANK_STACK, run, lane);
    lane->has_thread = failed == 0;
    if (failed == 0)
        return 0; /* status is the thread's now */
    lane->status = iso__fail(err, ISO_EINTERP, "rank %d: no thread: %s", lane->rank->number, strerror(failed));
    return lane->status;
}

int
iso_engine_start(iso_engine *engine, iso_error *err)
{
    iso__queue *queue = engine != NULL ? engine->queue : NULL;
    if (queue == NULL)
        return iso__fail(err, ISO_ESTATE,
                         "this engine has no queue channel (setting channel): ranks are opened by the "
                         "threads that use them");
    if (queue->started || atomic_load(&queue->closing))
        return iso__fail(err, ISO_ESTATE, "the engine was started already, or is closing");
    int count = engine->config.ranks, code = 0;
    iso_error *errors = calloc((size_t)count, sizeof *errors);
    if (errors == NULL)
        return iso__fail(err, ISO_ENOMEM, "no memory to start %d ranks", count);
    for (int i = 0; i < count; i++) {
        if (queue->lanes[i].rank->lane != NULL)
            iso__lane_start(&queue->lanes[i], iso__lane_main, &errors[i]);
    }
    pthread_mutex_lock(&engine->lock);
    for (int i = 0; i < count; i++) {
        while (queue->lanes[i].status == 1)
            pthread_cond_wait(&engine->changed, &engine->lock);
        if (queue->lanes[i].status < 0 && code == 0) {
            code = queue->lanes[i].status;
            if (err != NULL)
                *err = errors[i];
        }
    }
    pthread_mutex_unlock(&engine->lock);
    queue->started = code == 0;
    if (code != 0)
        iso__queue_close(queue);
    free(errors);
    return code;
}

/* ---- submit ---- */

void
iso__queue_wake(iso__lane *lane)
{
    if (atomic_load(&lane->asleep) && atomic_exchange(&lane->asleep, 0))
        iso__futex_wake(&lane->asleep, 1);
}

void
iso__queue_wake_idle(iso__queue *queue)
{
    if (atomic_load(&queue->spinner) != NULL)
        return;
    for (int word = 0; word * 64 < queue->engine->config.ranks; word++) {
        uint64_t bits = atomic_load(&queue->sleeping[word]);
        while (bits != 0) {
            uint64_t bit = bits & -bits;
            bits &= bits - 1;
            if (atomic_fetch_and(&queue->sleeping[word], ~bit) & bit) {
                iso__queue_wake(&queue->lanes[word * 64 + __builtin_ctzll(bit)]);
                return;
            }
        }
    }
}

static bool
has_room(void *ring)
{
    return iso__ring_count(ring) <= ((iso__ring *)ring)->mask;
}

static bool
has_much_room(void *ring)
{
    return iso__ring_has_much_room(ring);
}

static void
sleep_for_room(iso__queue *queue, iso__ring *ring)
{
    atomic_fetch_add(&ring->sleepers, 1);
    uint32_t seen = atomic_load(&ring->room);
    if (!has_room(ring) && !atomic_load(&queue->closing))
        iso__futex_wait(&ring->room, seen, SLICE_NS);
    atomic_fetch_sub(&ring->sleepers, 1);
}

void
iso__queue_give_room(iso__ring *ring)
{
    atomic_fetch_add(&ring->room, 1);
    iso__futex_wake(&ring->room, (int)(ring->mask / 2 + 1)); /* more would find it full again */
}

static int
push(iso__queue *queue, iso__caller *caller, iso__ring *ring, iso_task *task)
{
    bool reject = queue->engine->config.on_overload == ISO_OVERLOAD_REJECT || (task->flags & ISO_SUBMIT_REJECT);
    bool spun = false;
    uint32_t bits = iso__task_bits(task);
    while (!atomic_load(&queue->closing)) {
        if (iso__ring_push(ring, task, bits))
            return 0;
        if (reject)
            return ISO_EOVERLOAD;
        iso__spin_set(&caller->room_spin, queue->pool->spin_us);
        iso_rank *held = iso__main_let_go();
        if (spun || !iso__spin_until(&caller->room_spin, false, has_much_room, ring))
            sleep_for_room(queue, ring);
        if (held != NULL)
            iso__rank_attach(held);
        spun = true; /* once: thousands may wait here */
    }
    return ISO_ESTATE;
}

static void
refuse_ring(iso__ring *ring)
{
    for (iso_task *task; ring->cells != NULL && (task = iso__ring_pop(ring)) != NULL;)
        iso__task_end_refused(task);
}

/* What a rank has taken ahead would wait for its running call, which has the grace time. The rank still holds these
 * tasks; what it has run meanwhile is done, or a new call, which is to be refused too. */
void
iso__queue_refuse_ahead(iso__lane *lane)
{
    int count = atomic_load(&lane->ahead_count);
    for (int i = atomic_load(&lane->ahead_next); i < count; i++)
        iso__task_refuse(atomic_load_explicit(&lane->ahead[i].value, memory_order_relaxed));
}

/* On the thread of the rank itself: runs at once, nested, and may take as long as it likes. */
static int
run_nested(iso_task *task, iso_task **out)
{
    if (task == NULL)
        return ISO_ENOMEM;
    if (out != NULL)
        *out = task;
    iso__lane_run(iso__lane_rank, task, ISO__HELD_BY_QUEUE);
    if (out == NULL)
        iso__task_drop(task, ISO__HELD_BY_QUEUE);
    return 0;
}

/* The task is the rank's once it is pushed, and may be gone. */
static int
hand_over(iso__queue *queue, iso__caller *caller, iso__lane *lane, iso_task *task, iso_task **out)
{
    iso__ring *ring = lane != NULL ? &lane->own : &queue->any;
    if (out != NULL)
        *out = task; /* before a completion may come */
    int code = push(queue, caller, ring, task);
    if (code != 0) {
        if (out != NULL)
            *out = NULL;
        iso__task_drop(task, ISO__HELD_BY_QUEUE | ISO__HELD_BY_SUBMITTER);
        return code;
    }
    if (atomic_load(&queue->closing))
        refuse_ring(ring); /* the closing thread may have looked into it before */
    else if (lane != NULL)
        iso__queue_wake(lane);
    else
        iso__queue_wake_idle(queue);
    return 0;
}

int
iso_submit(iso_engine *engine, int number, const char *method, const iso_msg *msg, iso_str extra, void *user,
           unsigned flags, iso_task **out)
{
    if (engine == NULL || method == NULL || msg == NULL || msg->version != ISO_MSG_VERSION ||
        msg->length > ISO_MSG_MAX_LENGTH || number < 0 || number > engine->config.ranks ||
        (out == NULL && !(flags & ISO_SUBMIT_FORGET)))
        return ISO_EINVAL;
    iso__queue *queue = engine->queue;
    if (queue == NULL || !queue->started)
        return ISO_ESTATE;
    iso__lane *lane = number != ISO_ANY_RANK ? &queue->lanes[number - 1] : NULL;
    if (lane != NULL && lane->own.cells == NULL)
        return ISO_ESTATE; /* an inline rank; its struct is not looked at here, which its thread writes */
    iso__caller *caller = iso__caller_here();
    if (caller == NULL)
        return ISO_ENOMEM;
    if (flags & ISO_SUBMIT_FORGET)
        out = NULL;
    iso__caller_enter(caller, queue);
    iso__ring_fetch_free(lane != NULL ? &lane->own : &queue->any);
    iso_task *task = iso__task_new(caller, engine, method, msg, extra, user, flags, number);
    if (lane != NULL && lane == iso__lane_here) {
        iso__caller_leave(caller); /* the call may end the engine */
        return run_nested(task, out);
    }
    int code = task != NULL ? hand_over(queue, caller, lane, task, out) : ISO_ENOMEM;
    iso__caller_warm(caller);
    iso__caller_leave(caller);
    return code;
}

size_t
iso__lane_waiting(const iso__lane *lane)
{
    int ahead = atomic_load_explicit(&lane->ahead_count, memory_order_relaxed) -
                atomic_load_explicit(&lane->ahead_next, memory_order_relaxed);
    return iso__ring_count(&lane->own) + (ahead > 0 ? (size_t)ahead : 0) + iso__spare_count(&lane->spare);
}

size_t
iso__queue_waiting(const iso_engine *engine, int number)
{
    const iso__lane *lane = iso__rank_of(engine, number)->lane;
    return lane != NULL ? iso__lane_waiting(lane) : 0;
}

/* ---- completions ---- */

void
iso__queue_list_completion(iso__queue *queue, iso_task *task)
{
    if (iso__pile_push(&queue->completed, &task->completed))
        iso__bell_ring(queue->fd);
}

/* The next completion, oldest first. NULL: none. */
static iso_task *
take_completed(iso__queue *queue)
{
    if (queue->taken == NULL)
        queue->taken = iso__pile_take(&queue->completed);
    iso_task *task = ISO__PILED(queue->taken, iso_task, completed);
    if (task != NULL)
        queue->taken = queue->taken->next;
    return task;
}

int
iso_engine_fd(const iso_engine *engine)
{
    return engine != NULL && engine->queue != NULL && engine->queue->started ? engine->queue->fd : ISO_ESTATE;
}

size_t
iso_engine_completions(iso_engine *engine, iso_task **out, size_t max)
{
    iso__queue *queue = engine != NULL ? engine->queue : NULL;
    size_t count = 0;
    if (queue == NULL || max == 0)
        return 0;
    iso__bell_clear(queue->fd); /* before the list: a later one rings again */
    iso_task *task;
    while (count < max && (task = take_completed(queue)) != NULL) {
        if (iso__task_drop(task, ISO__HELD_BY_LIST) & ISO__HELD_BY_SUBMITTER) /* else it has let go of it */
            out[count++] = task;
    }
    if (queue->taken != NULL || atomic_load(&queue->completed) != NULL)
        iso__bell_ring(queue->fd);
    return count;
}

/* ---- end ---- */

static void
refuse_waiting(iso__queue *queue)
{
    for (int i = 0; i < queue->engine->config.ranks; i++) {
        refuse_ring(&queue->lanes[i].own);
        iso__queue_refuse_ahead(&queue->lanes[i]);
        iso__spare_refuse(&queue->lanes[i]);
    }
    refuse_ring(&queue->any);
}

/* What an abandoned rank runs ends for its submitter; the rank gives its own hold up if it ever comes back. */
static void
refuse_running(iso__lane *lane)
{
    iso_task *task = atomic_load(&lane->running);
    if (task != NULL)
        iso__task_refuse(task);
}

/* All submitters that sleep before a full ring: they find that the engine closes. */
static void
wake_roomless(iso__ring *ring)
{
    atomic_fetch_add(&ring->room, 1);
    iso__futex_wake(&ring->room, INT32_MAX);
}

int
iso__queue_close(iso__queue *queue)
{
    int count = queue->engine->config.ranks;
    atomic_store(&queue->closing, 1);
    iso__barrier_everywhere(); /* with hand_over() */
    wake_roomless(&queue->any);
    for (int i = 0; i < count; i++) {
        wake_roomless(&queue->lanes[i].own);
        iso__queue_wake(&queue->lanes[i]);
    }
    refuse_waiting(queue); /* at once: the running calls have the grace time, those that wait need none */
    int abandoned = iso__engine_close_ranks(queue->engine);
    for (int i = 0; i < count; i++) {
        iso__lane *lane = &queue->lanes[i];
        if (!lane->has_thread)
            continue;
        if (atomic_load(&lane->rank->state) == ISO__RANK_CLOSED) {
            pthread_join(lane->thread, NULL);
        } else {
            pthread_detach(lane->thread);
            refuse_running(lane);
        }
        lane->has_thread = false;
    }
    iso__caller_wait_until_left(queue);
    refuse_waiting(queue); /* what came in between */
    iso__queue_forget_waits(queue);
    return abandoned;
}

void
iso__queue_free(iso__queue *queue)
{
    if (queue == NULL)
        return;
    for (int i = 0; queue->lanes != NULL && i < queue->engine->config.ranks; i++) {
        iso__ring_fini(&queue->lanes[i].own);
        if (queue->lanes[i].spent != NULL)
            free(iso__pool_give(queue->lanes[i].spent));
    }
    iso__ring_fini(&queue->any);
    for (iso_task *task; (task = take_completed(queue)) != NULL;)
        iso__task_drop(task, ISO__HELD_BY_LIST);
    iso__pool_close(queue->pool);
    if (queue->fd >= 0)
        close(queue->fd);
    free(queue->lanes);
    free(queue);
}
