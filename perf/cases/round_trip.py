"""One caller, one call after another: what each rival adds to the work."""

from perf.suite.measure import Case, Plan, Samples, in_turn

METHODS = ("empty", "reads", "forward", "spin_10_us", "spin_50_us", "allocate")


def run(plan: Plan) -> Samples:
    repeats, seconds = (3, 0.004) if plan.quick else (21, 0.02)
    return in_turn(plan.rivals(), METHODS, repeats, seconds, plan)


CASES = [Case("round_trip", "Round trip of one call", "ns", "less", run)]
