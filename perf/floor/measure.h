/* measure.h: clocks, and one line of output a sample: "case side value". The Python part reads them all
 * and works out medians, so that every repeat is kept. */
#ifndef FLOOR_MEASURE_H
#define FLOOR_MEASURE_H

#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "side.h"

static inline uint64_t
floor_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void
floor_sample(const char *name, const char *side, double value)
{
    printf("%s %s %.3f\n", name, side, value);
}

/* What to run, from the command line. */
struct floor_plan {
    const char *script;
    int repeats;
    long calls; /* per sample */
    int scale_repeats;
    double seconds;  /* per sample of the scaling case */
    double patience; /* seconds of that case, and of the calls, after which disturbed samples stand */
    int most_ranks; /* of the scaling case, at most FLOOR_MOST_RANKS */
};
#define FLOOR_MOST_RANKS 128

/* One rank of each side, all cases in turn. The third side is isoexec with full timing; the last two are the floor
 * and isoexec in the main interpreter. */
#define FLOOR_SIDES 5
void floor_measure_calls(const struct floor_plan *plan, const struct floor_side sides[FLOOR_SIDES]);
void floor_measure_index(const struct floor_plan *plan);
struct floor_forks;
/* Ranks in parallel, both sides and the forked processes in turn. */
void floor_measure_scaling(const struct floor_plan *plan, const struct floor_side sides[2],
                           const struct floor_forks *forks);

#endif
