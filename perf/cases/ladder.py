"""From C: what the floor program and isoexec take, by what a call includes (see perf/floor)."""

from dataclasses import replace

from perf.floor import build
from perf.floor import run as floor
from perf.floor.report import BARS
from perf.suite.measure import Case, Plan, Promise, Samples

STEPS = ("index", "batch", "attach", "main", "python", "reads")


def run(plan: Plan) -> Samples:
    plan.progress("the floor program")
    wanted = floor.QUICK if plan.quick else replace(floor.FULL, repeats=11, scale_repeats=1)
    taken = floor.measure(build.require_wheel(), wanted).samples
    samples: Samples = {}
    for step in STEPS:
        floors = [values for side, values in taken[step].items() if side.startswith("floor")]
        samples[step] = {"floor": min(floors, key=sum), "isoexec": taken[step]["isoexec"]}
    return samples


PROMISES = tuple(Promise(step, "isoexec", "floor", bar) for step in STEPS if (bar := BARS[step]))
CASES = [
    Case("ladder", "Cost of a call from C, and its floor", "ns", "less", run, promises=PROMISES),
]
