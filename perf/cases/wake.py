"""Calls with pauses between them: what it costs when the cores sleep. Raw times make the CDF."""

import time
from contextlib import ExitStack

from perf.suite import work
from perf.suite.measure import Case, Plan, Samples, check

PAUSE = 0.005


def run(plan: Plan) -> Samples:
    calls = 10 if plan.quick else 300
    samples: Samples = {"trickle": {}}
    with ExitStack() as stack:
        started = [stack.enter_context(rival(1)) for rival in plan.rivals()]
        started = [rival for rival in started if rival.name != "asyncio_executor"]
        for rival in started:
            check(rival, "reads", rival.call("reads", work.MESSAGE))
        for number in range(calls):
            plan.progress(f"call {number + 1} of {calls}")
            for rival in started:
                time.sleep(PAUSE)
                begin = time.perf_counter_ns()
                answer = rival.call("reads", work.MESSAGE)
                elapsed = time.perf_counter_ns() - begin
                check(rival, "reads", answer)
                samples["trickle"].setdefault(rival.name, []).append(float(elapsed))
    return samples


CASES = [Case("wake", "A call after a pause of 5 ms", "ns", "less", run)]
