"""What a run leaves: every sample, the machine, and what they say."""

import sys
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from perf.floor import build
from perf.floor.report import Spread, ratio_of, spread_of
from perf.floor.run import Results
from perf.rivals import RIVALS
from perf.suite.measure import BEST, Case, Promise

type Figures = dict[str, dict[str, Spread]]
"""series -> rival -> spread"""


@dataclass
class Run:
    """A run as its file has it: samples by case, then by series and rival."""

    results: Results
    cases: dict[str, dict[str, dict[str, list[float]]]]

    def save(self, path: Path) -> None:
        held = {**asdict(self.results), "cases": self.cases, "samples": {}}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps(held, option=orjson.OPT_INDENT_2))


def load(path: Path) -> Run:
    held = orjson.loads(path.read_bytes())
    cases = held.pop("cases")
    return Run(Results(**held), cases)


def require_release() -> str:
    """The version of isoexec, which must be a wheel, on a CPython that is no debug build."""
    if hasattr(sys, "gettotalrefcount") or sysconfig.get_config_var("Py_DEBUG"):
        raise build.FloorError(
            "this CPython is a debug build, whose times say nothing; use a release."
        )
    return build.require_wheel()


def figures(samples: dict[str, dict[str, list[float]]]) -> Figures:
    return {
        series: {rival: spread_of(values) for rival, values in sides.items()}
        for series, sides in samples.items()
    }


def best_rival(case: Case, sides: dict[str, Spread]) -> str | None:
    """The best of those that are not isoexec, and cross something."""
    others = [name for name in sides if not name.startswith("isoexec") and name != "plain"]
    choose = min if case.better == "less" else max
    return choose(others, key=lambda name: sides[name].median) if others else None


@dataclass(frozen=True)
class Kept:
    """A promise beside what came of it."""

    promise: Promise
    rival: str
    ratio: float
    ok: bool


def promises_of(case: Case, samples: dict[str, dict[str, list[float]]]) -> list[Kept]:
    """Those whose both sides ran."""
    found, figured = [], figures(samples)
    for promise in case.promises:
        sides = figured.get(promise.series, {})
        rival: str | None = promise.rival
        if promise.rival == BEST:
            crossing = {
                name: spread
                for name, spread in sides.items()
                if name in RIVALS and RIVALS[name].crosses in ("interpreter", "process")
            }
            rival = best_rival(case, crossing)
        if rival is None or rival not in sides or promise.own not in sides:
            continue
        ratio = ratio_of(samples[promise.series][promise.own], samples[promise.series][rival])
        ok = ratio <= promise.bar if case.better == "less" else ratio >= promise.bar
        found.append(Kept(promise, rival, ratio, ok))
    return found


def reduced(run: Run) -> Run:
    """The same with three samples a side, which have its median and its percentiles: to be kept."""
    cases = {
        name: {
            series: {side: [row.low, row.median, row.high] for side, row in sides.items()}
            for series, sides in figures(samples).items()
        }
        for name, samples in run.cases.items()
    }
    return Run(run.results, cases)


def advantage(case: Case, own: float, other: float) -> float:
    """How many times better `own` is."""
    return other / own if case.better == "less" else own / other


def regressions(new: Run, old: Run, cases: dict[str, Case], limit: float) -> list[str]:
    """Rows whose ratio to the best rival of the same run has got worse by more than `limit`."""
    found = []
    for name, samples in new.cases.items():
        before = figures(old.cases.get(name, {}))
        for series, sides in figures(samples).items():
            rival = best_rival(cases[name], sides)
            if rival is None or rival not in before.get(series, {}):
                continue
            for own in (side for side in sides if side.startswith("isoexec")):
                if own not in before[series]:
                    continue
                now, then = (
                    advantage(cases[name], at[own].median, at[rival].median)
                    for at in (sides, before[series])
                )
                if now < then / limit:
                    found.append(f"{name}, {series}: {own} was {then:.2f} of {rival}, is {now:.2f}")
    return found
