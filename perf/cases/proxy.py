"""Whole proxies: `isoexec serve`, Kamailio and a bare responder (see perf/proxy)."""

import os

from perf.floor import build
from perf.proxy import run as proxy
from perf.proxy.report import CPU_BARS
from perf.suite.measure import Case, Plan, Promise, Samples

NAMES = {"bare": "floor", "isoexec": "isoexec_serve"}


def sides() -> list[str]:
    """Kamailio, with the allocator that suits it best and with its own, where it is installed."""
    found = ["kamailio", "kamailio_qm"] if proxy.find_kamailio() else []
    return [*found, "isoexec", "bare"]


def run(plan: Plan) -> Samples:
    if len(os.sched_getaffinity(0)) < 2:
        return {}  # one core for the proxy, one for the load
    plan.progress("requests")
    wanted = proxy.QUICK if plan.quick else proxy.ProxyPlan(repeats=3, seconds=1.0)
    taken = proxy.measure(build.require_wheel(), wanted, sides()).samples
    return {
        case: {NAMES.get(side, side): values for side, values in taken[f"{case}.cpu"].items()}
        for case in proxy.ROUTES
    }


PROMISES = tuple(Promise(case, "isoexec_serve", "kamailio", bar) for case, bar in CPU_BARS.items())
CASES = [
    Case("proxy", "CPU time of a request in a proxy", "ns", "less", run, promises=PROMISES),
]
