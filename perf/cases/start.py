"""From nothing to the first answers: each start in a program of its own."""

from perf.suite.measure import Case, Plan, Promise, Samples, figure_of

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


def run_open(plan: Plan) -> Samples:
    sides: dict[str, list[float]] = {"alone": [], "isoexec": []}
    for _ in range(1 if plan.quick else 7):
        for side, way in (("alone", "alone"), ("isoexec", "together")):
            plan.progress(f"eight ranks, {way}")
            sides[side].append(figure_of("open_program", way))
    return {"8 ranks": sides}


CASES = [
    Case("start", "From nothing to the first answer of each rank", "s", "less", run),
    Case(
        "open",
        "Eight ranks with ten imports opened at once, beside eight times one, by the cores",
        "s",
        "less",
        run_open,
        promises=(Promise("8 ranks", "isoexec", "alone", 1.2),),
    ),
]
