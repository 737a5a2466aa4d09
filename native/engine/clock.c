#include "engine/clock.h"

double iso__clock_ns_per_tick = 1.0;

static uint64_t begin_ticks, begin_ns;

void
iso__clock_calibrate_begin(void)
{
    begin_ns = iso__clock_monotonic_ns();
    begin_ticks = iso__clock_ticks();
}

void
iso__clock_calibrate_end(void)
{
    uint64_t passed = iso__clock_monotonic_ns() - begin_ns;
    if (passed < 5000000u) {
        struct timespec rest = {0, (long)(5000000u - passed)};
        nanosleep(&rest, NULL);
    }
    uint64_t ns = iso__clock_monotonic_ns() - begin_ns;
    uint64_t ticks = iso__clock_ticks() - begin_ticks;
    if (ticks > 0)
        iso__clock_ns_per_tick = (double)ns / (double)ticks;
}
