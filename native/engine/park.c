#define _GNU_SOURCE
#include "engine/park.h"

#include <pthread.h>
#include <sched.h>

#include "engine/clock.h"

/* Threads that spin now, in the whole process: more than there are cores would only take them away. */
static _Atomic int spinning;

static int cores;
static pthread_once_t cores_once = PTHREAD_ONCE_INIT;

static void
count_cores(void)
{
    cpu_set_t allowed;
    cores = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
}

static bool
spin_once(uint32_t us, bool (*ready)(void *), void *argument)
{
    uint64_t end = iso__clock_ticks() + (uint64_t)(us * 1e3 / iso__clock_ns_per_tick);
    do {
        for (int look = 0; look < 8; look++) { /* the clock costs as much as a few looks */
            if (ready(argument))
                return true;
            iso__pause();
        }
    } while (iso__clock_ticks() < end);
    return false;
}

bool
iso__spin_until(iso__spin *spin, bool (*ready)(void *), void *argument)
{
    pthread_once(&cores_once, count_cores);
    if (spin->most == 0 || cores < 2 || ready(argument))
        return ready(argument);
    bool done = false;
    if (atomic_fetch_add(&spinning, 1) < cores) {
        bool probe = ++spin->waits % ISO__SPIN_PROBE == 0;
        done = spin_once(probe ? spin->most : spin->now, ready, argument);
        uint32_t next = done ? spin->now * 2 : spin->now / 2;
        spin->now = next < 1 ? 1 : next > spin->most ? spin->most : next;
    }
    atomic_fetch_sub(&spinning, 1);
    return done || ready(argument);
}
