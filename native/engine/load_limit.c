/* load_limit.c: see load_limit.h. A load is rare and may take a thread of its own for as long as it lasts, in the process
 * of the rank if it has one; the watchdog (watchdog.c) is for calls. */
#include "engine/load_limit.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "engine/clock.h"
#include "engine/library_locks.h"
#include "engine/pending.h"
#include "engine/settings.h"
#include "engine/states.h"
#include "engine/thread.h"

#define STACK (256u << 10)
#define SOON_NS ISO__MS /* between two tries: the first moments may be bad ones, or another thread's turn */
#define AGAIN_NS (100 * ISO__MS) /* code that swallows it meets it again; the traceback is made in a few */

struct iso__load_limit {
    iso_rank *rank; /* NULL: the load is over; under the GIL of the rank's interpreter */
    _Atomic uint64_t fired_at_ns; /* monotonic, the last time; 0: not yet. Written under that GIL */
    uint64_t missed_at_ns; /* since when it is let in on other threads only; 0: it is not. Under that GIL */
    PyInterpreterState *interp;
    _Atomic bool pending; /* a pending call is in the queue, and uses this */
    pthread_t thread;
    pthread_mutex_t lock; /* guards over; nothing waits while it is held but for `changed` */
    pthread_cond_t changed;
    bool over;
    uint64_t at_ns; /* monotonic; the thread's */
};

/* Whether the last one is not long ago. */
static bool
has_just_fired(iso__load_limit *limit, uint64_t now)
{
    uint64_t last = atomic_load(&limit->fired_at_ns);
    return last != 0 && now < last + AGAIN_NS;
}

static bool
must_wait_for_turn(iso__load_limit *limit, uint64_t now)
{
    if (limit->missed_at_ns == 0)
        limit->missed_at_ns = now;
    return now - limit->missed_at_ns < ISO__TURN_NS;
}

static int
fire(void *argument)
{
    iso__load_limit *limit = argument;
    iso_rank *rank = limit->rank;
    if (rank == NULL) {
        free(limit);
        return 0;
    }
    atomic_store(&limit->pending, false);
    uint64_t now = iso__clock_monotonic_ns();
    if (has_just_fired(limit, now)) /* it was asked for before that */
        return 0;
    bool here = PyThreadState_Get() == rank->py;
    if (here)
        limit->missed_at_ns = 0;
    if (iso__may_hold_library_lock(rank->py) || (!here && must_wait_for_turn(limit, now)))
        return 0;
    atomic_store(&limit->fired_at_ns, now);
    limit->missed_at_ns = 0;
    if (here) {
        PyErr_SetNone(rank->script->deadline_exceeded);
        return -1;
    }
    iso__rank_set_async(rank, rank->script->deadline_exceeded);
    return 0;
}

static void *
wait(void *argument)
{
    iso__load_limit *limit = argument;
    pthread_mutex_lock(&limit->lock);
    while (!limit->over) {
        struct timespec at = {(time_t)(limit->at_ns / ISO__SECOND), (long)(limit->at_ns % ISO__SECOND)};
        if (pthread_cond_timedwait(&limit->changed, &limit->lock, &at) != ETIMEDOUT || limit->over)
            continue;
        limit->at_ns += SOON_NS;
        if (has_just_fired(limit, limit->at_ns))
            continue;
        if (!atomic_exchange(&limit->pending, true) && !iso__pending_add(limit->interp, fire, limit))
            atomic_store(&limit->pending, false); /* the queue is full of the script's own: later */
    }
    pthread_mutex_unlock(&limit->lock);
    return NULL;
}

iso__load_limit *
iso__load_limit_begin(iso_rank *rank, uint32_t limit_ms)
{
    iso__load_limit *limit = limit_ms > 0 ? calloc(1, sizeof *limit) : NULL;
    if (limit == NULL)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&limit->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&limit->lock, NULL);
    limit->rank = rank;
    limit->interp = PyThreadState_GetInterpreter(rank->py);
    limit->at_ns = iso__clock_monotonic_ns() + (uint64_t)limit_ms * ISO__MS;
    if (iso__thread_start(&limit->thread, STACK, wait, limit) != 0) {
        free(limit);
        return NULL;
    }
    return limit;
}

bool
iso__load_limit_end(iso__load_limit *limit)
{
    if (limit == NULL)
        return false;
    pthread_mutex_lock(&limit->lock);
    limit->over = true;
    pthread_cond_signal(&limit->changed);
    pthread_mutex_unlock(&limit->lock);
    pthread_join(limit->thread, NULL); /* it never waits for a GIL */
    pthread_cond_destroy(&limit->changed);
    pthread_mutex_destroy(&limit->lock);
    bool fired = atomic_load(&limit->fired_at_ns) != 0;
    if (fired)
        iso__rank_set_async(limit->rank, NULL);
    limit->rank = NULL;
    if (!atomic_load(&limit->pending))
        free(limit); /* else the pending call does */
    return fired;
}
