"""How late a deadline of 20 ms ends a call, whatever the call does (see perf/deadline)."""

from perf.deadline import run as deadline
from perf.deadline.report import LATE
from perf.floor import build
from perf.suite.measure import Case, Plan, Samples


def run(plan: Plan) -> Samples:
    plan.progress("calls that do not end")
    wanted = deadline.QUICK if plan.quick else deadline.FULL
    taken = deadline.measure(build.require_wheel(), wanted).samples
    return {name: {"isoexec": taken[name]["late"]} for name in LATE}


CASES = [Case("deadline", "From the deadline to the caller's answer", "ns", "less", run)]
