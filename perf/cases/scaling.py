"""Ranks that work at once: does a second core bring a second one's work, do many hold it?"""

from perf.rivals.rival import Rival
from perf.suite.measure import Case, Plan, Samples, throughput

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


CASES = [Case("scaling", "Calls a second of ranks that work at once", "calls/s", "more", run)]
