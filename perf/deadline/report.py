"""What the samples of the deadlines say, in the form of the floor's report."""

from dataclasses import dataclass
from statistics import median, quantiles

import orjson

from perf.floor.report import head, noise, table
from perf.floor.run import Results

# case, side without a deadline, side with one, how many ns more it may take.
COSTS = (
    ("batch", "plain", "set", 12.0),
    ("attach", "plain", "set", 12.0),
    ("batch", "full", "full_set", 5.0),
    ("attach", "full", "full_set", 5.0),
)
LATE = ("spin", "in_del", "swallowed_once", "nested", "busy_thread")
LATE_BAR = 1e6  # ns, the median
IDLE_BAR = 1e6  # ns of CPU in a second: a thousandth of one core


@dataclass(frozen=True)
class Case:
    """One row, and one JSON line."""

    name: str
    figures: dict[str, float]
    value: float
    bar: float
    ratio: float | None = None

    @property
    def ok(self) -> bool:
        return self.value <= self.bar

    def as_json(self) -> bytes:
        figures = {name: round(value, 2) for name, value in self.figures.items()}
        ratio = {} if self.ratio is None else {"ratio": round(self.ratio, 4)}
        return orjson.dumps({"case": self.name, **figures, **ratio})


def _cost(results: Results, name: str, without: str, with_one: str, bar: float) -> Case:
    """Repeat by repeat, as both sides of one had the same machine."""
    sides = results.samples[name]
    pairs = list(zip(sides[without], sides[with_one], strict=True))
    more = median(after - before for before, after in pairs)
    ratio = median(after / before for before, after in pairs)
    figures = {without: median(sides[without]), with_one: median(sides[with_one]), "more_ns": more}
    return Case(f"{name}_{with_one}", figures, more, bar, ratio)


def _late(results: Results, name: str) -> Case:
    samples = results.samples[name]["late"]
    middle = median(samples)
    return Case(
        f"late_{name}",
        {"median_ns": middle, "p99_ns": quantiles(samples, n=100, method="inclusive")[98]},
        middle,
        LATE_BAR,
    )


def make_cases(results: Results) -> list[Case]:
    (used,) = results.samples["idle"]["cpu"]
    idle = Case("idle", {"cpu_ns_per_s": used}, used, IDLE_BAR)
    return [
        *(_cost(results, *row) for row in COSTS),
        *(_late(results, name) for name in LATE),
        idle,
    ]


def render(results: Results, cases: list[Case]) -> str:
    """The whole output; its last lines are one JSON object a case."""
    plan = results.plan
    method = (
        f"cost: {plan.repeats} repeats of {plan.calls} calls, sides in turn, CPU time;"
        f" late: {plan.late} calls with a deadline of 20 ms, from it to the result, wall time"
    )
    rows: list[tuple[str, ...]] = [("case", "ns", "ratio", "bar ns", "ok")]
    for case in cases:
        figures = ", ".join(f"{name} {value:.1f}" for name, value in case.figures.items())
        ratio = "-" if case.ratio is None else f"{case.ratio:.3f}"
        rows.append((case.name, figures, ratio, f"{case.bar:.0f}", "yes" if case.ok else "NO"))
    lines = [head(results), method, "", *table(rows)]
    return "\n".join([*lines, *noise(results), "", *(case.as_json().decode() for case in cases)])
