"""What the samples say: medians, ratios, bars; as a table for people and as JSON for programs."""

import dataclasses
from dataclasses import dataclass
from statistics import median, quantiles

import orjson

from perf.floor.run import Results

# The promises: isoexec's figure over the floor's, at most. None: shown, not promised.
BARS = {
    "batch": 1.6,
    "attach": 1.25,
    "python": 1.25,
    "reads": 1.25,
    "extra": None,
    "exception": None,
    "main": 1.25,
    "index": 1.3,
}
SCALING_BAR = 0.98  # isoexec's speed-up from 1 rank to 2, over the floor's, at least
HOLD_BAR = 0.97  # throughput of 8 and of 32 ranks over that of 2, at least
NOISE_CORES = 0.1  # others that use more than this on average are worth a warning


@dataclass(frozen=True)
class Spread:
    """A side of a case: the median of its repeats, and the tenth and ninetieth percentile."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Case:
    """One row: names of the JSON line, and what only the table shows."""

    name: str
    floor: Spread
    isoexec: Spread
    ratio: float
    bar: str
    ok: bool | None  # None: no bar
    full: Spread | None = None  # isoexec with full timing
    details: dict[str, float] = dataclasses.field(default_factory=dict)

    def as_json(self) -> bytes:
        line: dict[str, str | float] = {
            "case": self.name,
            "floor_ns": round(self.floor.median, 2),
            "isoexec_ns": round(self.isoexec.median, 2),
            "ratio": round(self.ratio, 4),
        }
        if self.name == "scaling":
            line |= {name: round(value, 4) for name, value in self.details.items()}
        return orjson.dumps(line)


def spread_of(samples: list[float]) -> Spread:
    """Median and percentiles of the samples of one side."""
    tenths = quantiles(samples, n=10, method="inclusive") if len(samples) > 1 else samples * 9
    return Spread(median(samples), tenths[0], tenths[8])


def ratio_of(own: list[float], rival: list[float]) -> float:
    """How many times `own` is `rival`: repeat by repeat where both have as many.

    A virtual machine may get other cores between two repeats, on which all takes twice as long.
    """
    if len(own) == len(rival):
        return median(ours / theirs for ours, theirs in zip(own, rival, strict=True))
    return median(own) / median(rival)


def _call_case(name: str, sides: dict[str, list[float]]) -> Case:
    """A case with several floors (one an instruction set) is held against the fastest."""
    floors = {side: spread_of(sides[side]) for side in sides if side.startswith("floor")}
    floor = min(floors.values(), key=lambda spread: spread.median)
    isoexec = spread_of(sides["isoexec"])
    ratio, bar = isoexec.median / floor.median, BARS[name]
    return Case(
        name=name,
        floor=floor,
        isoexec=isoexec,
        ratio=ratio,
        bar=f"<= {bar}" if bar else "-",
        ok=ratio <= bar if bar else None,
        full=spread_of(sides["full"]) if "full" in sides else None,
        details={f"{side}_ns": spread.median for side, spread in floors.items() if len(floors) > 1},
    )


def _speed_up(sides: dict[str, list[float]], side: str, ranks: int, base: int) -> float:
    """Median over the repeats of the throughput with `ranks` ranks over that with `base`.

    Repeats that others disturbed are left out, unless fewer than three would remain.
    """
    before, after = sides[f"{side}_{base}"], sides[f"{side}_{ranks}"]
    others = zip(sides[f"others_{side}_{base}"], sides[f"others_{side}_{ranks}"], strict=True)
    ratios = [one / many for one, many in zip(before, after, strict=True)]
    quiet = [ratio for ratio, used in zip(ratios, others, strict=True) if max(used) <= NOISE_CORES]
    return median(quiet if len(quiet) >= 3 else ratios)


def _cpu_growth(sides: dict[str, list[float]], side: str) -> float:
    """CPU time per call with 2 ranks over that with 1: what ranks cost each other, on any load."""
    return median(sides[f"cpu_{side}_2"]) / median(sides[f"cpu_{side}_1"])


def _scaling_case(sides: dict[str, list[float]]) -> Case:
    floor, isoexec = (_speed_up(sides, side, 2, 1) for side in ("floor", "isoexec"))
    details = {"floor_speed_up": floor, "isoexec_speed_up": isoexec}
    details |= {f"{side}_cpu_growth": _cpu_growth(sides, side) for side in ("floor", "isoexec")}
    if "fork_2" in sides:
        details["isoexec_2_to_fork_2"] = median(sides["fork_2"]) / median(sides["isoexec_2"])
    holds = []
    for ranks in (8, 32):
        for side in ("floor", "isoexec"):
            if f"{side}_{ranks}" in sides:
                details[f"{side}_{ranks}_to_2"] = _speed_up(sides, side, ranks, 2)
        if f"isoexec_{ranks}" in sides:
            holds.append(details[f"isoexec_{ranks}_to_2"] >= HOLD_BAR)
    return Case(
        name="scaling",
        floor=spread_of(sides["floor_2"]),
        isoexec=spread_of(sides["isoexec_2"]),
        ratio=isoexec / floor,
        bar=f">= {SCALING_BAR}",
        ok=isoexec / floor >= SCALING_BAR and all(holds),
        details=details,
    )


def make_cases(results: Results) -> list[Case]:
    cases = [_call_case(name, results.samples[name]) for name in BARS]
    return [*cases, _scaling_case(results.samples["scaling"])]


def render_samples(results: Results) -> bytes:
    """Every sample that was taken, with the machine."""
    return orjson.dumps(dataclasses.asdict(results), option=orjson.OPT_INDENT_2)


def cell(spread: Spread | None) -> str:
    """A spread as the table shows it."""
    if spread is None:
        return "-"
    return f"{spread.median:.1f} ({spread.low:.1f}-{spread.high:.1f})"


def _rows(cases: list[Case]) -> list[tuple[str, ...]]:
    titles = ("case", "floor ns", "isoexec ns", "ratio", "bar", "ok", "full timing ns", "ratio")
    rows: list[tuple[str, ...]] = [titles]
    for case in cases:
        ok = "-" if case.ok is None else "yes" if case.ok else "NO"
        full = f"{case.full.median / case.floor.median:.2f}" if case.full else "-"
        cells = (cell(case.floor), cell(case.isoexec), f"{case.ratio:.2f}", case.bar, ok)
        rows.append((case.name, *cells, cell(case.full), full))
    return rows


def noise(results: Results) -> list[str]:
    """What other processes did, for whoever reads the figures."""
    load = f"load average {results.load_before:.2f} before, {results.load_after:.2f} after"
    lines = [f"{load}; other processes used {results.cores_of_others:.2f} cores on average"]
    if results.cores_of_others > NOISE_CORES:
        lines.append("WARNING: other processes disturbed this run; wall-time figures may be off")
    if int(results.machine["cores"]) < 2:
        lines.append("WARNING: one core only: what runs in parallel says nothing here")
    return lines


def _scaling_noise(sides: dict[str, list[float]]) -> list[str]:
    disturbed = sum(
        value > NOISE_CORES
        for side, values in sides.items()
        if side.startswith("others_")
        for value in values
    )
    if not disturbed:
        return []
    return [f"WARNING: {disturbed} samples of scaling stayed disturbed after all retakes"]


def head(results: Results) -> str:
    """The first line: on what was measured."""
    machine = results.machine
    return (
        f"isoexec {results.version}, CPython {machine['python']}, {machine['cpu']},"
        f" {machine['cores']} cores, Linux {machine['kernel']}"
    )


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of cells, the first of titles, as lines with the columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def render(results: Results, cases: list[Case]) -> str:
    """The whole output; its last lines are one JSON object a case."""
    plan = results.plan
    method = (
        f"median (p10-p90) of {plan.repeats} repeats x {plan.calls} calls, sides in turn;"
        f" scaling: {plan.scale_repeats} x {plan.scale_seconds} s, ns per call with 2 ranks"
    )
    details = [
        f"{case.name}: " + ", ".join(f"{name} {value:.2f}" for name, value in case.details.items())
        for case in cases
        if case.details
    ]
    lines = [head(results), method, "", *table(_rows(cases)), "", *details]
    lines += [*noise(results), *_scaling_noise(results.samples["scaling"]), ""]
    return "\n".join([*lines, *(case.as_json().decode() for case in cases)])
