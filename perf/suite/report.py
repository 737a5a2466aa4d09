"""The report: one HTML page with the tables, and the pictures, which are files beside it."""

from html import escape
from pathlib import Path

from perf.floor.report import head, noise
from perf.suite import plots
from perf.suite.measure import Case
from perf.suite.results import Run, figures
from perf.suite.text import PROMISE_TITLES, promise_rows, rows, wins_of_rivals

STYLE = """
body { font: 15px/1.5 sans-serif; max-width: 62em; margin: 2em auto; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: .5em 0 1.5em }
td, th { padding: .15em .8em; text-align: right }
th { border-bottom: 1px solid #999 } td:first-child, th:first-child { text-align: left }
tr.own { color: #1f6f8b; font-weight: bold } img { max-width: 100%; height: auto }
p.note { color: #a33 }
"""


METHOD = (
    "Medians of samples that were taken in turn, with the tenth and ninetieth percentile. Trust the"
    " ratios, not the times. Every answer was checked."
)


def _table(titles: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """The first is a row of titles; the rows of isoexec stand out."""
    text = "<table><tr>" + "".join(f"<th>{escape(title)}</th>" for title in titles) + "</tr>"
    for line in lines:
        kind = " class=own" if line[0].startswith("isoexec") else ""
        text += f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>"
    return text + "</table>"


def _series(case: Case, series: str, run: Run) -> str:
    titles = (series, "median", "p10", "p90", "times the best rival")
    return _table(titles, rows(case, figures(run.cases[case.name])[series]))


def page(run: Run, cases: dict[str, Case], pictures: list[str]) -> str:
    wins = wins_of_rivals(run, cases)
    parts = [
        "<!doctype html><meta charset=utf-8><title>isoexec: measurements</title>",
        f"<style>{STYLE}</style>",
        "<h1>isoexec beside its rivals</h1>",
        f"<p>{escape(head(run.results))}</p>",
        f"<p>{METHOD}</p>",
        *(f"<p class=note>{escape(line)}</p>" for line in noise(run.results)),
        "<h2>What is promised</h2>",
        _table(PROMISE_TITLES, promise_rows(run, cases)),
        "<h2>Where a rival wins</h2>",
        "<ul>" + "".join(f"<li>{escape(win)}</li>" for win in wins) + "</ul>"
        if wins
        else "<p>Nowhere.</p>",
    ]
    for name in run.cases:
        case = cases[name]
        parts.append(f"<h2>{escape(case.title)}</h2>")
        shown = [key for key in pictures if key == name or key.startswith(f"{name}_")]
        parts += [f'<p><img src="{key}.svg" alt="{key}">' for key in shown]
        parts += [_series(case, series, run) for series in run.cases[name]]
    return "\n".join(parts) + "\n"


def write(run: Run, cases: dict[str, Case], folder: Path) -> None:
    pictures = [path.stem for path in plots.write(run, cases, folder)]
    (folder / "index.html").write_text(page(run, cases, pictures), encoding="utf-8")
