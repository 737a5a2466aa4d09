"""What the samples of the hand-off say, in the form of the floor's report."""

from dataclasses import dataclass

import orjson

from perf.floor.report import Spread, cell, head, noise, ratio_of, spread_of, table
from perf.floor.run import Results

# case, side that isoexec is held against, side of isoexec, bar. The ratio of throughput is that of
# calls per second, at least its bar; others are of times, at most. None: shown, not promised.
COMPARED: tuple[tuple[str, str, str, float | None], ...] = (
    ("round_trip", "bare", "isoexec", 1.3),
    ("round_trip", "bare_by_name", "isoexec", None),
    ("round_trip", "bare_copy", "isoexec", None),
    ("drained", "bare", "isoexec", 1.6),
    ("drained", "bare_by_name", "isoexec", 1.6),
    ("drained", "bare_copy", "isoexec", None),
    ("throughput", "inline", "queue", 0.95),
    ("throughput", "inline", "blocking", None),
    ("async", "process_pool", "isoexec", 0.35),
    ("async", "to_process", "isoexec", 0.35),
)
IDLE_BAR = 0.01  # of one core, with four ranks
NS_PER_SECOND = 1e9


@dataclass(frozen=True)
class Case:
    """One row, and one JSON line."""

    name: str
    rival: str
    floor: Spread | None
    isoexec: Spread
    ratio: float
    bar: str
    ok: bool | None  # None: no bar

    def as_json(self) -> bytes:
        line: dict[str, str | float | None] = {
            "case": self.name,
            "against": self.rival,
            "floor_ns": round(self.floor.median, 2) if self.floor else None,
            "isoexec_ns": round(self.isoexec.median, 2),
            "ratio": round(self.ratio, 4),
        }
        return orjson.dumps(line)


def _compare(results: Results, name: str, rival: str, side: str, bar: float | None) -> Case:
    taken = results.samples[name]
    floor, own = spread_of(taken[rival]), spread_of(taken[side])
    speed = name == "throughput"
    ratio = ratio_of(taken[rival], taken[side]) if speed else ratio_of(taken[side], taken[rival])
    return Case(
        name=name if side in ("isoexec", "queue") else side,
        rival=rival,
        floor=floor,
        isoexec=own,
        ratio=ratio,
        bar=f"{'>=' if speed else '<='} {bar}" if bar else "-",
        ok=(ratio >= bar if speed else ratio <= bar) if bar else None,
    )


def _idle(results: Results) -> Case:
    """CPU time in a second, in ns and as a share of it."""
    used = spread_of(results.samples["idle"]["isoexec"])
    share = used.median / NS_PER_SECOND
    return Case("idle", "one core", None, used, share, f"<= {IDLE_BAR}", share <= IDLE_BAR)


def make_cases(results: Results) -> list[Case]:
    return [*(_compare(results, *row) for row in COMPARED), _idle(results)]


def render(results: Results, cases: list[Case]) -> str:
    """The whole output; its last lines are one JSON object a case."""
    plan = results.plan
    method = (
        f"median (p10-p90) of {plan.repeats} repeats, sides in turn: {plan.round_trips} round"
        f" trips, {plan.messages} messages, {plan.seconds} s of load, {plan.awaits} awaits"
    )
    rows: list[tuple[str, ...]] = [
        ("case", "against", "floor ns", "isoexec ns", "ratio", "bar", "ok")
    ]
    for case in cases:
        ok = "-" if case.ok is None else "yes" if case.ok else "NO"
        cells = (cell(case.floor), cell(case.isoexec), f"{case.ratio:.3f}", case.bar, ok)
        rows.append((case.name, case.rival, *cells))
    cpu = {name: spread_of(values) for name, values in results.samples["throughput"].items()}
    costs = ", ".join(
        f"{name.removeprefix('cpu_')} {spread.median:.0f}"
        for name, spread in cpu.items()
        if name.startswith("cpu_")
    )
    lines = [head(results), method, "", *table(rows), "", f"throughput: CPU ns per call: {costs}"]
    return "\n".join([*lines, *noise(results), "", *(case.as_json().decode() for case in cases)])
