/* wait.c: waiting for a task, from a thread of the host or from inside a call.
 *
 * A thread that is a queue rank may wait for another rank (a host function that calls the engine). Which
 * rank waits for which is kept in one graph for the process, so that a circle is an error and no deadlock. */
#include "engine/caller.h"
#include "engine/clock.h"
#include "engine/queue.h"
#include "engine/states.h"

#define LOOK_LATER 4 /* pauses: no call is over sooner, and each look takes the line from the rank that writes it */
#define SLICE_NS 1000000 /* a waiting rank looks this often whether it became part of a circle */

/* Guards blocked, waits_for and next_blocked of all lanes; innermost, never held over anything that waits. */
static pthread_mutex_t wait_lock = PTHREAD_MUTEX_INITIALIZER;
static iso__lane *blocked_lanes; /* of all engines */

static bool
task_ready(void *task)
{
    return iso_task_result(task) != NULL;
}

/* Sleeps until the task is done or the time is over. `how`: ISO__TASK_SLEEPER or ISO__TASK_PATIENT. */
static void
sleep_on(iso_task *task, uint32_t how, int64_t timeout_ns)
{
    uint32_t state = atomic_load(&task->state);
    if ((state & ISO__TASK_STEP) == ISO__TASK_DONE)
        return;
    if (!(state & how) && !atomic_compare_exchange_strong(&task->state, &state, state | how))
        return; /* it moved on: look again */
    iso__futex_wait(&task->state, state | how, timeout_ns);
}

/* With more threads awake than cores, a rank that wakes each submitter at once would give its core away for
 * each call. So the submitter lets itself be woken a little later for a while. */
static void
sleep_patiently(iso_task *task, int64_t timeout_ns)
{
    bool short_of_time = timeout_ns >= 0 && timeout_ns < ISO__PATIENCE_NS;
    if (iso__cores_are_short(1) && !short_of_time)
        sleep_on(task, ISO__TASK_PATIENT, ISO__PATIENCE_NS);
}

static int
wait_on_host_thread(iso_task *task, int64_t timeout_ns)
{
    iso__caller *caller = iso__caller_here();
    if (caller == NULL)
        return ISO_ENOMEM;
    iso__spin_set(&caller->wait_spin, task->pool->spin_us);
    if (!iso__cores_are_short(1))
        iso__pauses(LOOK_LATER);
    if (iso__spin_until(&caller->wait_spin, false, task_ready, task))
        return 0;
    uint64_t end = timeout_ns >= 0 ? iso__clock_monotonic_ns() + (uint64_t)timeout_ns : 0;
    sleep_patiently(task, timeout_ns);
    while (!task_ready(task)) {
        int64_t left = -1;
        if (timeout_ns >= 0) {
            left = (int64_t)(end - iso__clock_monotonic_ns());
            if (left <= 0)
                return ISO_ETIMEDOUT;
        }
        sleep_on(task, ISO__TASK_SLEEPER, left);
    }
    return 0;
}

/* Notes that the rank's thread waits, and for whom. ISO_ECYCLE if that rank waits for this one; 1 if all
 * ranks of the engine wait; 2 if the thread's rank was replaced: others answer in its name. */
static int
block(iso__lane *lane, iso_task *task)
{
    iso__queue *own = lane->rank->engine->queue;
    int code = 0;
    pthread_mutex_lock(&wait_lock);
    if (lane->rank != iso__lane_rank) {
        code = 2;
    } else if (!task_ready(task)) { /* so its engine is there: closing ends its tasks first, then takes this lock */
        int number = atomic_load_explicit(&task->rank, memory_order_relaxed);
        if (number == 0)
            number = task->target;
        lane->waits_for = number != ISO_ANY_RANK ? &task->engine->queue->lanes[number - 1] : NULL;
        if (!lane->blocked) {
            lane->blocked = true;
            lane->next_blocked = blocked_lanes;
            blocked_lanes = lane;
            own->blocked++;
        }
        for (iso__lane *at = lane->waits_for; at != NULL && code == 0; at = at->waits_for)
            code = at == lane ? ISO_ECYCLE : 0;
        if (code != 0)
            lane->waits_for = NULL; /* this wait ends here: the other ranks of the circle may go on */
        else if (own->blocked == own->lane_count)
            code = 1;
    }
    pthread_mutex_unlock(&wait_lock);
    return code;
}

/* Under the wait lock. */
static void
unlink_blocked(iso__lane *lane)
{
    for (iso__lane **at = &blocked_lanes; *at != NULL; at = &(*at)->next_blocked) {
        if (*at == lane) {
            *at = lane->next_blocked;
            lane->blocked = false;
            lane->waits_for = NULL;
            lane->rank->engine->queue->blocked--;
            break;
        }
    }
}

static void
unblock(iso__lane *lane)
{
    pthread_mutex_lock(&wait_lock);
    if (lane->rank == iso__lane_rank)
        unlink_blocked(lane);
    pthread_mutex_unlock(&wait_lock);
}

void
iso__lane_hand_over(iso__lane *lane, iso_rank *to)
{
    pthread_mutex_lock(&wait_lock);
    unlink_blocked(lane);
    lane->rank = to;
    pthread_mutex_unlock(&wait_lock);
}

void
iso__queue_forget_waits(iso__queue *queue)
{
    pthread_mutex_lock(&wait_lock);
    for (iso__lane *lane = blocked_lanes; lane != NULL; lane = lane->next_blocked) {
        if (lane->waits_for != NULL && lane->waits_for->rank->engine->queue == queue)
            lane->waits_for = NULL;
    }
    pthread_mutex_unlock(&wait_lock);
}

/* A call for any rank that no rank can take, because all of them wait, runs nested on this one. */
static bool
take_back(iso__lane *lane, iso_task *task)
{
    if (task->engine != lane->rank->engine || task->target != ISO_ANY_RANK || !iso__task_take_back(task))
        return false;
    unblock(lane); /* its own calls may wait in turn */
    iso__lane_run(iso__lane_rank, task, ISO__HELD_BY_WAITER);
    return true;
}

static int64_t
left_until(uint64_t end)
{
    uint64_t now = iso__clock_monotonic_ns();
    return end > now ? (int64_t)(end - now) : 0;
}

static int
wait_on_rank(iso__lane *lane, iso_task *task, int64_t timeout_ns)
{
    uint64_t end = timeout_ns >= 0 ? iso__clock_monotonic_ns() + (uint64_t)timeout_ns : UINT64_MAX;
    int code = 0;
    while (!task_ready(task) && code >= 0) {
        code = block(lane, task);
        if (code == 2)
            return wait_on_host_thread(task, timeout_ns < 0 ? -1 : left_until(end));
        if (code < 0 || (code == 1 && take_back(lane, task)))
            break;
        sleep_on(task, ISO__TASK_SLEEPER, SLICE_NS);
        if (!task_ready(task) && iso__clock_monotonic_ns() >= end)
            code = ISO_ETIMEDOUT;
    }
    unblock(lane);
    return task_ready(task) ? 0 : code;
}

int
iso_task_wait(iso_task *task, int64_t timeout_ns)
{
    if (task == NULL)
        return ISO_EINVAL;
    if (task_ready(task)) {
        iso__caller_fetch_next(iso__caller_of_thread, task);
        return 0;
    }
    iso_rank *held = iso__main_let_go();
    int code =
        iso__lane_here != NULL ? wait_on_rank(iso__lane_here, task, timeout_ns) : wait_on_host_thread(task, timeout_ns);
    if (held != NULL)
        iso__rank_attach(held);
    return code;
}
