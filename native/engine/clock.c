#include "engine/clock.h"

#define TRIES 50

double iso__clock_ns_per_tick = 1.0;

struct reading {
    uint64_t ticks, ns;
};

static struct reading begin;

/* Both clocks at one moment. A thread that is put aside between the two would bend the rate, by as much as doubling
 * it, and with it every deadline of the process: the reading that took least counts. */
static struct reading
read_both(void)
{
    struct reading best = {0, 0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        uint64_t before = iso__clock_ticks();
        uint64_t ns = iso__clock_monotonic_ns();
        uint64_t took = iso__clock_ticks() - before;
        if (took < least) {
            least = took;
            best = (struct reading){before + took / 2, ns};
        }
    }
    return best;
}

void
iso__clock_calibrate_begin(void)
{
    begin = read_both();
}

void
iso__clock_calibrate_end(void)
{
    uint64_t passed = iso__clock_monotonic_ns() - begin.ns;
    if (passed < 5000000u) {
        struct timespec rest = {0, (long)(5000000u - passed)};
        nanosleep(&rest, NULL);
    }
    struct reading end = read_both();
    if (end.ticks > begin.ticks)
        iso__clock_ns_per_tick = (double)(end.ns - begin.ns) / (double)(end.ticks - begin.ticks);
}
