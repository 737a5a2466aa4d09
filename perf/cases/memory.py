"""What one more rank costs in memory: proportional set size of the program and its processes."""

from perf.suite.measure import Case, Plan, Samples, figure_of

LOADS = ("bare", "imports", "table")
RANKS = 8


def run(plan: Plan) -> Samples:
    samples: Samples = {}
    for _ in range(1 if plan.quick else 3):
        for kind in ("isoexec", "isoexec_main", "isoexec_process", "fork", "spawn"):
            if plan.only and kind not in plan.only:
                continue
            for load in LOADS:
                plan.progress(f"{load} in {kind}")
                many, one = (figure_of("memory_program", kind, load, ranks) for ranks in (RANKS, 1))
                figures = samples.setdefault(load, {}).setdefault(kind, [])
                figures.append((many - one) / (RANKS - 1))
    return samples


CASES = [Case("memory", "Memory of one more rank", "MiB", "less", run)]
