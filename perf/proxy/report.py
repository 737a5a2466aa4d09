"""What the samples of the proxies say, in the form of the floor's report."""

from dataclasses import dataclass

import orjson

from perf.floor.report import Spread, cell, head, noise, spread_of, table
from perf.floor.run import Results

# case, what was measured, bar: isoexec over Kamailio, at most. Rates are turned round.
CPU_BARS = {"reply_py": 0.65, "fwd_py": 0.6, "t_relay": 0.7}
AS_GOOD = ("rate", "span_p99", "same_span_p99", "p99", "same_p99")
COMPARED: tuple[tuple[str, str, float], ...] = (
    *((name, "cpu", bar) for name, bar in CPU_BARS.items()),
    *((name, what, 1.0) for what in AS_GOOD for name in CPU_BARS),
)
MEANINGS = {
    "cpu": "CPU ns a request",
    "rate": "requests a second",
    "span_p99": "p99 ns at half its rate, of 20 ms",
    "same_span_p99": "p99 ns at half Kamailio's, of 20 ms",
    "p99": "p99 ns at half its rate, of all",
    "same_p99": "p99 ns at half Kamailio's, of all",
}


@dataclass(frozen=True)
class Case:
    """One row, and one JSON line."""

    name: str
    what: str
    kamailio: Spread
    isoexec: Spread
    bare: Spread | None
    ratio: float
    bar: float

    @property
    def ok(self) -> bool:
        return self.ratio <= self.bar

    def as_json(self) -> bytes:
        line: dict[str, str | float | None] = {
            "case": self.name,
            "measured": self.what,
            "kamailio": round(self.kamailio.median, 2),
            "isoexec": round(self.isoexec.median, 2),
            "bare": round(self.bare.median, 2) if self.bare else None,
            "ratio": round(self.ratio, 4),
        }
        return orjson.dumps(line)


def _compare(results: Results, name: str, what: str, bar: float) -> Case:
    sides = {side: spread_of(values) for side, values in results.samples[f"{name}.{what}"].items()}
    theirs, own = sides["kamailio"].median, sides["isoexec"].median
    ratio = theirs / own if what == "rate" else own / theirs
    return Case(name, what, sides["kamailio"], sides["isoexec"], sides.get("bare"), ratio, bar)


def make_cases(results: Results) -> list[Case]:
    return [_compare(results, *row) for row in COMPARED]


def _lost(results: Results) -> str:
    lost = {
        f"{name.removesuffix('.lost')} {side} {sum(values):.0f}"
        for name, sides in results.samples.items()
        if name.endswith(".lost")
        for side, values in sides.items()
        if sum(values) > 0
    }
    return f"requests without an answer: {', '.join(sorted(lost)) or 'none'}"


def render(results: Results, cases: list[Case]) -> str:
    """The whole output; its last lines are one JSON object a case."""
    plan = results.plan
    method = (
        f"median (p10-p90) of {plan.repeats} repeats, sides in turn, one worker each:"
        f" {plan.seconds} s with 64 requests open, {plan.seconds} s at half of that rate"
    )
    rows: list[tuple[str, ...]] = [
        ("case", "measured", "kamailio", "isoexec", "bare", "ratio", "bar", "ok")
    ]
    for case in cases:
        sides = (cell(case.kamailio), cell(case.isoexec), cell(case.bare))
        ok = "yes" if case.ok else "NO"
        rows.append(
            (case.name, MEANINGS[case.what], *sides, f"{case.ratio:.3f}", f"<= {case.bar}", ok)
        )
    lines = [head(results), method, "", *table(rows), "", _lost(results)]
    return "\n".join([*lines, *noise(results), "", *(case.as_json().decode() for case in cases)])
