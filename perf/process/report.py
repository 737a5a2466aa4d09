"""What the samples of process ranks say, in the form of the floor's report."""

from perf.floor.report import cell, head, noise, spread_of, table
from perf.floor.run import Results
from perf.handoff.report import NS_PER_SECOND, Case

BARS = {"back_to_back": 0.5, "paced": 1.0}
IDLE_BAR = 0.01  # of one core, with four ranks


def _against_pipe(results: Results, name: str) -> Case:
    pipe, own = (spread_of(results.samples[name][side]) for side in ("pipe", "isoexec"))
    ratio = own.median / pipe.median
    return Case(name, "pipe", pipe, own, ratio, f"<= {BARS[name]}", ratio <= BARS[name])


def make_cases(results: Results) -> list[Case]:
    used = spread_of(results.samples["idle"]["isoexec"])
    share = used.median / NS_PER_SECOND
    idle = Case("idle", "one core", None, used, share, f"<= {IDLE_BAR}", share <= IDLE_BAR)
    return [*(_against_pipe(results, name) for name in BARS), idle]


def render(results: Results, cases: list[Case]) -> str:
    """The whole output; its last lines are one JSON object a case."""
    plan = results.plan
    method = (
        f"median (p10-p90) of {plan.repeats} repeats, sides in turn: {plan.round_trips} round trips"
        f" back to back; {plan.paced} calls in all, one each 10 ms; idle: CPU time of"
        f" {plan.idle_seconds} s"
    )
    rows: list[tuple[str, ...]] = [("case", "against", "ns", "isoexec ns", "ratio", "bar", "ok")]
    for case in cases:
        figures = (cell(case.floor), cell(case.isoexec), f"{case.ratio:.3f}")
        rows.append((case.name, case.rival, *figures, case.bar, "yes" if case.ok else "NO"))
    lines = [head(results), method, "", *table(rows)]
    return "\n".join([*lines, *noise(results), "", *(case.as_json().decode() for case in cases)])
