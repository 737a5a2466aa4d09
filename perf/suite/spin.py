"""Work of a known length: the turns of an empty loop that take 10 us on this machine, today.

Handlers find them in their environment, on whichever side of a process or an interpreter they run.
"""

import os
import statistics
import time

from perf.suite import work

WANTED_NS = 10_000
SAMPLES, CALLS, TRIED = 50, 20, 1000


def _block() -> float:
    """ns of TRIED turns."""
    begin = time.perf_counter_ns()
    for _ in range(CALLS):
        work.spin(TRIED)
    return (time.perf_counter_ns() - begin) / CALLS


def calibrate() -> None:
    """Tells this process, and every handler that is started from now on."""
    for _ in range(SAMPLES):  # a core that slept is slow at first
        _block()
    took = statistics.median(_block() for _ in range(SAMPLES))
    work.TURNS_10_US = max(1, round(TRIED * WANTED_NS / took))
    os.environ[work.TURNS_VARIABLE] = str(work.TURNS_10_US)
