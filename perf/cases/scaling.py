"""Ranks that work at once: does a second core bring a second one's work, do many hold it?

From Python the callers share the GIL of the main interpreter; from C nobody does.
"""

from collections.abc import Iterator
from dataclasses import replace

from perf.floor import build
from perf.floor import run as floor
from perf.rivals.rival import Rival
from perf.suite.measure import Case, Plan, Promise, Samples, throughput

RANKS = (1, 2, 4, 8, 32, 128)
MOST = {"mp_pipe": 32, "unix_socket": 32, "isoexec_process": 32, "pep734_call": 32, "threads": 32}
WANTED = ("isoexec", "isoexec_queue", "isoexec_process", "mp_pipe", "unix_socket", "threads")


def run(plan: Plan) -> Samples:
    repeats, seconds = (1, 0.05) if plan.quick else (5, 0.3)
    samples: Samples = {}
    rivals: list[type[Rival]] = [rival for rival in plan.rivals() if rival.name in WANTED]
    for ranks in RANKS[:3] if plan.quick else RANKS:
        series = samples.setdefault(f"spin_10_us x {ranks}", {})
        for _ in range(repeats):
            for rival in rivals:
                if ranks > MOST.get(rival.name, RANKS[-1]):
                    continue
                plan.progress(f"{ranks} of {rival.name}")
                with rival(ranks) as started:
                    figure = throughput(started, "spin_10_us", ranks, seconds)
                series.setdefault(rival.name, []).append(figure)
    return samples


FROM_C = floor.FloorPlan(
    repeats=1,
    calls=1000,
    scale_repeats=31,
    scale_seconds=0.08,
    patience=15.0,
    most_ranks=RANKS[-1],
)
FROM_C_QUICK = floor.FloorPlan(
    repeats=1, calls=1000, scale_repeats=1, scale_seconds=0.1, patience=0.0, most_ranks=8
)
# Where its memory happens to lie makes a rank of either side up to a third slower for as long as
# its process lives, so one and two ranks are measured in several.
PROCESSES = 5
FEW_FROM_C = replace(FROM_C, scale_repeats=13, patience=6.0, most_ranks=2)
TWO = "isoexec_with_2_ranks"


type Times = dict[str, list[float]]


def _rates(times: Times, ranks: int) -> Iterator[tuple[str, list[float]]]:
    """Calls a second of each side that has so many."""
    for side in ("floor", "isoexec", "fork"):
        if taken := times.get(f"{side}_{ranks}"):
            yield side, [1e9 / time for time in taken]
    if ranks > 2:
        yield TWO, [1e9 / time for time in times["isoexec_2"]]


def _times(wanted: floor.FloorPlan) -> Times:
    script = build.SOURCES / "busy_handler.py"
    return floor.measure_in_c(build.require_wheel(), wanted, script).samples["scaling"]


def _times_of_few(plan: Plan) -> Times:
    joined: Times = {}
    for number in range(PROCESSES):
        plan.progress(f"two ranks of a host in C, process {number + 1} of {PROCESSES}")
        for side, taken in _times(FEW_FROM_C).items():
            joined.setdefault(side, []).extend(taken)
    return joined


def run_from_c(plan: Plan) -> Samples:
    plan.progress("ranks of a host in C")
    times = _times(FROM_C_QUICK if plan.quick else FROM_C)
    few = times if plan.quick else _times_of_few(plan)
    return {
        f"spin_10_us x {ranks}": dict(_rates(few if ranks <= 2 else times, ranks))
        for ranks in RANKS
        if f"isoexec_{ranks}" in times
    }


HOLD = 0.97
PROMISES = (
    Promise("spin_10_us x 2", "isoexec", "floor", 0.98),
    *(Promise(f"spin_10_us x {ranks}", "isoexec", TWO, HOLD) for ranks in RANKS[3:]),
)
CASES = [
    Case("scaling", "Calls a second of ranks that work at once", "calls/s", "more", run),
    Case(
        "scaling_from_c",
        "Calls a second of ranks that work at once, from C",
        "calls/s",
        "more",
        run_from_c,
        promises=PROMISES,
    ),
]
