/* handoff.h: what the cases of the hand-off share. */
#ifndef HANDOFF_H
#define HANDOFF_H

#include <isoexec.h>
#include <stdlib.h>

#include "../floor/measure.h"

#define BLOCK 32  /* round trips between two looks at the clock, so that its price hardly counts */
#define RANKS 4   /* and threads, of the parallel cases */
#define RING 1024 /* messages that may wait, on both sides */

static inline int
handoff_compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* Runs `trip` so often, and gives the median time of one in ns: a mean would show who else wanted the core. */
static inline double
handoff_median(void (*trip)(void *), void *argument, long calls)
{
    long blocks = calls / BLOCK;
    double *times = calloc((size_t)blocks, sizeof *times), result;

    for (long i = 0; times && i < blocks; i++) {
        uint64_t begin = floor_clock(CLOCK_MONOTONIC);

        for (int k = 0; k < BLOCK; k++) {
            trip(argument);
        }
        times[i] = (double)(floor_clock(CLOCK_MONOTONIC) - begin) / BLOCK;
    }
    if (!times) {
        abort();
    }
    qsort(times, (size_t)blocks, sizeof *times, handoff_compare);
    result = times[blocks / 2];
    free(times);
    return result;
}

/* Ends the process with a sentence. */
_Noreturn void handoff_die(const char *what, const char *detail);
/* An engine over a script; its ranks are started if the channel is the queue. */
iso_engine *handoff_engine(const char *script, int channel, int ranks);

/* throughput.c: RANKS threads and RANKS ranks, a handler of 10 us: inline, and through the queue. */
void handoff_measure_throughput(const char *script, int repeats, double seconds);

#endif
