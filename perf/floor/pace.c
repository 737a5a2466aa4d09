/* pace.c: see pace.h. */
#include "pace.h"

#include <stdint.h>

#include "measure.h"

#define STEPS 20000

/* ns of a step that keeps all of a core busy: one that waits for itself would not miss the other half. */
static double
step(void)
{
    uint64_t begin = floor_clock(CLOCK_MONOTONIC), a = 1, b = 2, c = 3, d = 4;

    for (int i = 0; i < STEPS; i++) {
        a += d;
        b += d;
        c += d;
        d += 1;
        __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d));
    }
    return (double)(floor_clock(CLOCK_MONOTONIC) - begin) / STEPS;
}

static void
step_there(struct floor_worker *worker, void *argument)
{
    (void)worker;
    *(double *)argument = step();
}

double
floor_pace_of(struct floor_worker *worker)
{
    double there;

    floor_worker_start(worker, step_there, &there);
    floor_worker_wait(worker);
    return there;
}

static void
add(struct floor_pace *pace, double ns)
{
    if (pace->most == 0 || ns < pace->least) {
        pace->least = ns;
    }
    if (ns > pace->most) {
        pace->most = ns;
    }
}

void
floor_pace_note(struct floor_pace *pace, struct floor_worker *other)
{
    double there, here;

    floor_worker_start(other, step_there, &there);
    here = step();
    floor_worker_wait(other);
    add(pace, here);
    add(pace, there);
}

double
floor_pace_spread(const struct floor_pace *pace)
{
    return pace->most / pace->least;
}
