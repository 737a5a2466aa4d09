"""Handlers that wait 5 ms for a back end, in eight ranks at once."""

from perf.suite.measure import Case, Plan, Samples, throughput

RANKS = 8


def run(plan: Plan) -> Samples:
    repeats, seconds = (1, 0.1) if plan.quick else (5, 0.5)
    samples: Samples = {"sleep": {}}
    without = ("plain", "asyncio_executor")
    wanted = [rival for rival in plan.rivals() if not rival.single and rival.name not in without]
    for _ in range(repeats):
        for rival in wanted:
            with rival(RANKS) as started:
                plan.progress(rival.name)
                figure = throughput(started, "sleep", RANKS, seconds)
            samples["sleep"].setdefault(rival.name, []).append(figure)
    return samples


CASES = [Case("blocking", "Handlers that wait 5 ms, eight ranks", "calls/s", "more", run)]
