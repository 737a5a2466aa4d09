"""Results as tables for a terminal."""

from perf.floor.report import Spread, head, noise, table
from perf.suite.measure import Case
from perf.suite.results import Run, advantage, best_rival, figures, promises_of

UNITS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}


def quantity(value: float, unit: str) -> str:
    """With three digits that count, in a unit that people read."""
    if unit in ("ns", "s"):
        value *= UNITS[unit]
        unit = next(name for name in reversed(UNITS) if value >= UNITS[name] or name == "ns")
        value /= UNITS[unit]
    elif unit == "calls/s" and value >= 1000:
        return f"{value / 1000:.4g}k/s"
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def rows(case: Case, sides: dict[str, Spread]) -> list[tuple[str, ...]]:
    """One a rival, the best first: median, p10-p90, and how often better than the best rival."""
    rival = best_rival(case, sides)
    order = sorted(sides, key=lambda name: sides[name].median, reverse=case.better == "more")
    lines: list[tuple[str, ...]] = []
    for name in order:
        spread = sides[name]
        times = "-"
        if rival is not None and name != "plain":
            times = f"{advantage(case, spread.median, sides[rival].median):.2f}"
        shown = (quantity(value, case.unit) for value in (spread.median, spread.low, spread.high))
        lines.append((name, *shown, times))
    return lines


def wins_of_rivals(run: Run, cases: dict[str, Case]) -> list[str]:
    """Where the best rival beats the best of isoexec, with the figures."""
    found = []
    for name, samples in run.cases.items():
        case = cases[name]
        for series, sides in figures(samples).items():
            own = [side for side in sides if side.startswith("isoexec")]
            rival = best_rival(case, sides)
            if rival is None or rival == "floor" or not own:
                continue
            choose = min if case.better == "less" else max
            best = choose(own, key=lambda side: sides[side].median)
            times = advantage(case, sides[best].median, sides[rival].median)
            if times < 1:
                found.append(
                    f"{case.title}, {series}: {rival} {quantity(sides[rival].median, case.unit)},"
                    f" {best} {quantity(sides[best].median, case.unit)}"
                )
    return found


PROMISE_TITLES = ("promise", "against", "ratio", "bar", "kept")


def promise_rows(run: Run, cases: dict[str, Case]) -> list[tuple[str, ...]]:
    """Case, series and side; the rival; the ratio of the medians; its bar; yes or NO."""
    lines: list[tuple[str, ...]] = []
    for name, samples in run.cases.items():
        sign = "<=" if cases[name].better == "less" else ">="
        for kept in promises_of(cases[name], samples):
            own = f"{name}, {kept.promise.series}: {kept.promise.own}"
            bar = f"{sign} {kept.promise.bar:.4g}"
            lines.append((own, kept.rival, f"{kept.ratio:.3g}", bar, "yes" if kept.ok else "NO"))
    return lines


def render(run: Run, cases: dict[str, Case]) -> str:
    lines = [head(run.results)]
    for name, samples in run.cases.items():
        case = cases[name]
        lines += ["", f"{case.title} ({case.better} is better)"]
        for series, sides in figures(samples).items():
            titles = (series, "median", "p10", "p90", "times the best rival")
            lines += ["", *table([titles, *rows(case, sides)])]
    promised = promise_rows(run, cases)
    if promised:
        lines += ["", *table([PROMISE_TITLES, *promised])]
    return "\n".join([*lines, "", *noise(run.results)])
