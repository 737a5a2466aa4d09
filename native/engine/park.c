#define _GNU_SOURCE
#include "engine/park.h"

#include <pthread.h>
#include <sched.h>

#include "engine/clock.h"

_Alignas(128) _Atomic int iso__awake; /* alone on its lines: every call reads it */

int iso__cores = 1;

static pthread_once_t cores_once = PTHREAD_ONCE_INIT;

static void
count_cores(void)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0)
        iso__cores = CPU_COUNT(&allowed);
}

uint32_t
iso__spin_limit(uint32_t most_us)
{
    pthread_once(&cores_once, count_cores);
    return iso__cores > 1 ? most_us : 0;
}

static bool
spin_for(uint32_t us, bool (*ready)(void *), void *argument)
{
    uint64_t end = iso__clock_ticks() + (uint64_t)(us * 1e3 / iso__clock_ns_per_tick);
    while (!iso__cores_are_short(0) && iso__clock_ticks() < end) {
        for (int look = 0; look < 8; look++) { /* the clock costs as much as a few looks */
            if (ready(argument))
                return true;
            iso__pause();
        }
    }
    return false;
}

bool
iso__spin_on(iso__spin *spin, bool counted, bool (*ready)(void *), void *argument)
{
    if (!counted)
        atomic_fetch_add(&iso__awake, 1);
    uint64_t began = iso__clock_ticks();
    bool done = spin_for(spin->now > 0 ? spin->now : spin->most, ready, argument);
    if (!counted)
        atomic_fetch_sub(&iso__awake, 1);
    uint32_t twice = (uint32_t)(iso__clock_ns(iso__clock_ticks() - began) / 500) + 1; /* us */
    if (!done)
        spin->now = spin->now * 3 / 4;
    else if (twice > spin->now)
        spin->now = twice > spin->most ? spin->most : twice;
    return done || ready(argument);
}

#define YIELDS 2

bool
iso__yield_until(bool (*ready)(void *), void *argument)
{
    for (int i = 0; i < YIELDS; i++) {
        if (ready(argument))
            return true;
        sched_yield();
    }
    return ready(argument);
}
