"""From nothing to the first answers: each start in a program of its own."""

from perf.suite.measure import Case, Plan, Samples, figure_of

RANKS = (1, 8)


def run(plan: Plan) -> Samples:
    repeats = 1 if plan.quick else 7
    samples: Samples = {}
    for _ in range(repeats):
        for rival in plan.rivals("interpreter", "process"):
            for ranks in RANKS[:1] if rival.single else RANKS:
                plan.progress(f"{ranks} of {rival.name}")
                series = samples.setdefault(f"first calls of {ranks}", {})
                series.setdefault(rival.name, []).append(
                    figure_of("start_program", rival.name, ranks)
                )
    return samples


CASES = [Case("start", "From nothing to the first answer of each rank", "s", "less", run)]
