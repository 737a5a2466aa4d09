"""One caller, one call after another: what each rival adds to the work."""

from perf.floor import build
from perf.floor import run as floor
from perf.suite.measure import BEST, Case, Plan, Promise, Samples, in_turn

METHODS = ("empty", "reads", "forward", "spin_10_us", "spin_50_us", "allocate")


def run(plan: Plan) -> Samples:
    repeats, seconds = (3, 0.004) if plan.quick else (21, 0.02)
    samples = in_turn(plan.rivals(), METHODS, repeats, seconds, plan)
    if not plan.only:
        plan.progress("from C")
        taken = floor.measure_in_c(build.require_wheel(), floor.QUICK).samples
        samples["empty"]["isoexec_from_c"] = taken["attach"]["isoexec"]
    return samples


PROMISES = (
    Promise("empty", "isoexec", BEST, 1 / 30),
    Promise("empty", "isoexec_from_c", BEST, 1 / 100),
    Promise("empty", "isoexec_process", "mp_pipe", 1 / 2),
)
CASES = [Case("round_trip", "Round trip of one call", "ns", "less", run, promises=PROMISES)]
