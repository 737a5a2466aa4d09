/* replace.c: a stuck queue rank loses its number to a new one.
 *
 * The lane, with its queue and the calls that wait, stays. The old rank keeps its struct, its interpreter and
 * its thread, which may come back from the call at any time, must not touch the lane then, and ends the
 * interpreter if it can (iso__rank_leave). */
#include <string.h>

#include "engine/clock.h"
#include "engine/queue.h"
#include "engine/settings.h"
#include "engine/states.h"

#define LIVE_MOST 16 /* replaced ranks of an engine that still run: each holds an interpreter and a thread */
#define RETRY_NS ISO__SECOND /* from one failed start of a new rank to the next try */

static void
take_counters(iso_rank *to, const iso_rank *from)
{
    const iso__counters *old = &from->counters;
    iso__counters *sum = &to->counters;
#define TAKE(member) atomic_store(&sum->member, atomic_load_explicit(&old->member, memory_order_relaxed))
    TAKE(calls);
    TAKE(edits);
    TAKE(log_lines);
    for (int i = 0; i < ISO_OUTCOME_COUNT; i++)
        TAKE(failures[i]);
    for (int i = 0; i < ISO_HISTOGRAM_BUCKETS; i++)
        TAKE(histogram[i]);
#undef TAKE
    iso__count(&sum->failures[ISO_OUTCOME_DEADLINE], 1); /* of the stuck call, whose end nobody counts */
    to->restarts = from->restarts + 1;
}

/* The script may be broken by now: calls are refused as they come, and the start is tried again. NULL: the
 * engine closes. */
static iso_rank *
open_or_refuse(iso__lane *lane, iso_engine *engine)
{
    iso_rank *rank = NULL;
    iso_error err;
    for (uint64_t next = 0; !atomic_load(&engine->queue->closing);) {
        uint64_t now = iso__clock_monotonic_ns();
        if (now >= next) {
            if (iso_rank_open(engine, iso__lane_rank->number, &rank, &err) == 0)
                return rank;
            iso__log(engine, ISO_LOG_CRIT, iso__lane_rank->number, "no rank could take over: %s", err.message);
            next = now + RETRY_NS;
        }
        iso__lane_refuse(lane);
        atomic_store(&lane->asleep, 1);
        if (iso__ring_empty(&lane->own) && !atomic_load(&engine->queue->closing))
            iso__futex_wait(&lane->asleep, 1, RETRY_NS);
        atomic_store(&lane->asleep, 0);
    }
    iso__lane_refuse(lane);
    return NULL;
}

static void *
run(void *argument)
{
    iso__lane *lane = argument;
    iso_engine *engine = lane->rank->engine;
    pthread_mutex_lock(&engine->lock); /* until the number is the new rank's */
    pthread_mutex_unlock(&engine->lock);
    iso__lane_here = lane;
    iso__lane_rank = lane->rank;
    iso_rank *rank = open_or_refuse(lane, engine);
    if (rank == NULL)
        return NULL;
    iso__log(engine, ISO_LOG_NOTICE, rank->number, "a new rank took over the number of a stuck one (%u so far)",
             (unsigned)rank->restarts);
    iso__event(engine, ISO_EVENT_REPLACED, rank->number);
    iso__lane_serve(lane, rank);
    return NULL;
}

/* Under the engine lock. */
static void
exchange(iso_rank *old, iso_rank *fresh)
{
    iso_engine *engine = old->engine;
    iso__lane *lane = old->lane;
    atomic_store(&old->state, ISO__RANK_REPLACED);
    atomic_store(&old->opened_ns, 0);
    iso__runtime_abandoned(1);
    iso__mail_refuse(old);
    old->next_replaced = engine->replaced;
    engine->replaced = old;
    engine->replaced_live++;
    take_counters(fresh, old);
    fresh->lane = lane;
    atomic_store_explicit(&engine->ranks[old->number - 1], fresh, memory_order_release);
    atomic_store(&lane->running, NULL);
    iso__lane_hand_over(lane, fresh);
}

/* Starts the thread that will wait for the exchange. Under the engine lock. */
static bool
start_thread(iso__lane *lane)
{
    pthread_t before = lane->thread;
    bool started = iso__lane_start(lane, run, NULL) >= 0;
    if (started)
        pthread_detach(before);
    else
        lane->thread = before;
    lane->has_thread = true;
    return started;
}

bool
iso__rank_replace(iso_rank *rank)
{
    iso_engine *engine = rank->engine;
    iso_rank *fresh = NULL;
    if (iso__rank_new(engine, rank->number, &fresh, NULL) < 0)
        return false;
    pthread_mutex_lock(&engine->lock); /* who closes the engine takes it first */
    int live = engine->replaced_live;
    bool replaced = !engine->closing && live < LIVE_MOST && start_thread(rank->lane);
    if (replaced)
        exchange(rank, fresh);
    pthread_mutex_unlock(&engine->lock);
    if (!replaced)
        iso__rank_free(fresh);
    if (live >= LIVE_MOST)
        iso__log(engine, ISO_LOG_CRIT, rank->number, "is not replaced: %d replaced ranks are still in their calls",
                 live);
    return replaced;
}
