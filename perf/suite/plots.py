"""Results as pictures: SVG, readable in black and white too."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib import ticker

from perf.floor.report import Spread
from perf.suite.measure import Case
from perf.suite.results import Run, figures

mpl.use("svg")
mpl.rcParams["svg.fonttype"] = "none"  # text stays text
mpl.rcParams["svg.hashsalt"] = "isoexec"  # the same picture from the same samples
OWN, OTHER, FLOOR = "#1f6f8b", "#b8b8b8", "#d1495b"
DASHES = ("-", "--", "-.", ":")
MARKS = "os^vDx"
MOST_POINTS = 300  # of a distribution
WIDE = 20  # a largest value so many times the smallest needs a logarithm


def _svg(figure: Any) -> str:
    out = StringIO()
    figure.savefig(out, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return out.getvalue()


def _logarithmic(axis: Any, least: float, most: float) -> None:
    """Makes an axis logarithmic, with labels that leave room for each other."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if most < 100 * least else (1,)))
    short = ticker.EngFormatter(sep="")  # 20k; below 1 it would write 200m
    axis.set_major_formatter(lambda value, _: short(value) if value >= 1 else f"{value:g}")
    axis.set_minor_formatter(ticker.NullFormatter())


def _color(name: str) -> str:
    return OWN if name.startswith("isoexec") else FLOOR if name in ("floor", "plain") else OTHER


def bars(title: str, unit: str, sides: dict[str, Spread], more: bool) -> str:
    """One bar a rival, the best on top, its median written beside it."""
    from perf.suite.text import quantity

    order = sorted(sides, key=lambda name: sides[name].median, reverse=not more)
    figure, axes = plt.subplots(figsize=(7, 0.34 * len(order) + 1.1))
    values = [sides[name].median for name in order]
    log = max(values) > WIDE * min(values)
    low = [max(0.0, sides[name].median - sides[name].low) for name in order]
    high = [max(0.0, sides[name].high - sides[name].median) for name in order]
    axes.barh(
        order, values, xerr=(low, high), color=[_color(name) for name in order], ecolor="#555"
    )
    if log:
        _logarithmic(axes.xaxis, min(values), max(values))
        axes.set_xlim(min(values) / 2, max(values) * 6)
    else:
        axes.set_xlim(0, max(spread.high for spread in sides.values()) * 1.25)
    for row, name in enumerate(order):
        axes.text(
            sides[name].high * 1.08, row, quantity(values[row], unit), va="center", fontsize=8
        )
    axes.set_xlabel(
        f"{unit}{', logarithmic' if log else ''}; {'more' if more else 'less'} is better"
    )
    axes.set_title(title, fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return _svg(figure)


def lines(title: str, unit: str, samples: dict[str, dict[str, list[float]]]) -> str:
    """Throughput by the number of ranks, one line a rival."""
    found = figures(samples)
    counts = [int(series.rpartition("x ")[2]) for series in found]
    names = list(dict.fromkeys(name for sides in found.values() for name in sides))
    figure, axes = plt.subplots(figsize=(7, 4))
    for place, name in enumerate(names):
        points = [
            (count, sides[name].median)
            for count, sides in zip(counts, found.values(), strict=True)
            if name in sides
        ]
        across, up = zip(*points, strict=True)
        own = name.startswith("isoexec")
        axes.plot(
            across,
            up,
            DASHES[place % 4],
            marker=MARKS[place % 6],
            ms=4,
            color=OWN if own else "#777",
            label=name,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    medians = [spread.median for sides in found.values() for spread in sides.values()]
    log = max(medians) > WIDE * min(medians)
    if log:
        _logarithmic(axes.yaxis, min(medians), max(medians))
    else:
        axes.set_ylim(0, max(medians) * 1.1)
    axes.set_xlabel("ranks")
    axes.set_ylabel(f"{unit}{', logarithmic' if log else ''}")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _svg(figure)


def distribution(title: str, samples: dict[str, list[float]]) -> str:
    """Which share of the calls took at most so long."""
    figure, axes = plt.subplots(figsize=(7, 4.4))
    for place, (name, values) in enumerate(samples.items()):
        ordered = sorted(value / 1000 for value in values)
        step = max(1, len(ordered) // MOST_POINTS)
        picked = [*range(0, len(ordered) - 1, step), len(ordered) - 1]  # the longest is one
        shares = [(number + 1) / len(ordered) for number in picked]
        ordered = [ordered[number] for number in picked]
        own = name.startswith("isoexec")
        axes.plot(
            ordered,
            shares,
            DASHES[place % 4],
            label=name,
            lw=2 if own else 1,
            alpha=1 if own else 0.7,
        )
    taken = [value / 1000 for values in samples.values() for value in values]
    log = max(taken) > WIDE * min(taken)
    if log:
        _logarithmic(axes.xaxis, min(taken), max(taken))
    else:
        axes.set_xlim(0, max(taken) * 1.02)
    axes.set_xlabel(f"microseconds of one call{', logarithmic' if log else ''}")
    axes.set_ylabel("share of the calls")
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _svg(figure)


def ladder(title: str, samples: dict[str, dict[str, list[float]]]) -> str:
    """What each step of a call costs, the floor beside it."""
    found = figures(samples)
    steps = list(found)
    figure, axes = plt.subplots(figsize=(7, 3.4))
    for shift, name, color in ((-0.2, "floor", FLOOR), (0.2, "isoexec", OWN)):
        values = [found[step][name].median for step in steps]
        places = [place + shift for place in range(len(steps))]
        axes.bar(places, values, 0.38, color=color, label=name)
        for place, value in zip(places, values, strict=True):
            axes.text(place, value, f"{value:.0f}", ha="center", va="bottom", fontsize=8)
    axes.set_xticks(range(len(steps)), steps)
    axes.set_ylabel("ns a call")
    axes.set_title(title, fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return _svg(figure)


def of_one_side(taken: dict[str, dict[str, list[float]]], side: str) -> dict[str, list[float]]:
    return {series: sides[side] for series, sides in taken.items()}


# Cases that one picture shows; of the others each series has one, with bars.
DRAWN: dict[str, Callable[[Case, Any], str]] = {
    "scaling": lambda case, taken: lines(case.title, case.unit, taken),
    "scaling_from_c": lambda case, taken: lines(case.title, case.unit, taken),
    "ladder": lambda case, taken: ladder(case.title, taken),
    "wake": lambda case, taken: distribution(case.title, taken["trickle"]),
    "reload": lambda case, taken: distribution(case.title, of_one_side(taken, "isoexec_queue")),
    "deadline": lambda case, taken: distribution(case.title, of_one_side(taken, "isoexec")),
}


def write(run: Run, cases: dict[str, Case], folder: Path) -> list[Path]:
    """One file a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pictures(run, cases).items():
        written.append(folder / f"{name}.svg")
        written[-1].write_text(text, encoding="utf-8")
    return written


def pictures(run: Run, cases: dict[str, Case]) -> dict[str, str]:
    """Every picture of a run, by its file's name."""
    made: dict[str, str] = {}
    for name, samples in run.cases.items():
        case = cases[name]
        if name in DRAWN:
            made[name] = DRAWN[name](case, samples)
            continue
        for series, sides in figures(samples).items():
            title = f"{case.title}: {series}"
            key = f"{name}_{series.replace(' ', '_')}"
            made[key] = bars(title, case.unit, sides, case.better == "more")
    return made
