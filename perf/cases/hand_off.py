"""The queue beside a bare hand-off and a bare ring, an await beside pools (see perf/handoff)."""

from dataclasses import replace

from perf.floor import build
from perf.handoff import run as handoff
from perf.handoff.report import COMPARED
from perf.suite.measure import Case, Plan, Promise, Samples

NAMES = {
    "bare": "floor",
    "bare_by_name": "floor_by_name",
    "bare_copy": "floor_copying",
    "isoexec": "isoexec_queue",
}
SERIES = ("round_trip", "drained", "async")


def run(plan: Plan) -> Samples:
    plan.progress("the bare hand-off")
    wanted = handoff.QUICK if plan.quick else replace(handoff.FULL, repeats=11)
    taken = handoff.measure(build.require_wheel(), wanted).samples
    return {
        series: {NAMES.get(side, side): values for side, values in taken[series].items()}
        for series in SERIES
    }


PROMISES = tuple(
    Promise(series, "isoexec_queue", NAMES.get(rival, rival), bar)
    for series, rival, _, bar in COMPARED
    if series in SERIES and bar is not None
)
CASES = [
    Case("hand_off", "A call of another thread's rank", "ns", "less", run, promises=PROMISES),
]
