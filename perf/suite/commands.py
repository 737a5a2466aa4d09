"""The commands of the suite: list, run, compare, plot, report."""

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from perf.floor import build
from perf.floor.run import Results, watched

PATH = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
RESULTS = Path("build/perf/results.json")
BASELINE = Path("docs/perf/baseline.json")


def drawing(name: str) -> Any:
    """A module that draws."""
    try:
        return importlib.import_module(f"perf.suite.{name}")
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise click.ClickException("pictures need matplotlib: pip install matplotlib") from None


class Progress:
    """A line on a terminal that says what runs; plain lines elsewhere."""

    def __init__(self, names: list[str]) -> None:
        self.names, self.at = names, 0
        self.live = sys.stderr.isatty()

    def case(self, name: str) -> None:
        self.at = self.names.index(name) + 1
        if not self.live:
            click.echo(f"[{self.at}/{len(self.names)}] {name}", err=True)

    def step(self, what: str) -> None:
        if self.live:
            done = "#" * self.at + "." * (len(self.names) - self.at)
            name = self.names[self.at - 1]
            click.echo(f"\r\x1b[K[{done}] {name}: {what}", err=True, nl=False)

    def end(self) -> None:
        if self.live:
            click.echo("\r\x1b[K", err=True, nl=False)


@click.command("list")
def list_command() -> None:
    """Names the cases, and the rivals that this machine has."""
    from perf.cases import CASES
    from perf.rivals import RIVALS

    for case in CASES.values():
        click.echo(f"{case.name:18} {case.title} ({case.unit})")
    click.echo()
    for rival in RIVALS.values():
        click.echo(f"{rival.name:18} {rival.what}; crosses: {rival.crosses}")


@click.command("run")
@click.argument("names", metavar="[CASE]...", nargs=-1)
@click.option("--rival", "rivals", multiple=True, help="Only this one; may be given again.")
@click.option(
    "--quick", is_flag=True, help="Seconds a case, rough figures; every answer is checked."
)
@click.option("--out", type=PATH, default=RESULTS, show_default=True, help="Where the samples go.")
def run_command(names: tuple[str, ...], rivals: tuple[str, ...], quick: bool, out: Path) -> None:
    """Runs cases, all by default, and prints what they say."""
    from perf.cases import CASES
    from perf.rivals import RIVALS
    from perf.suite.measure import Plan, WrongAnswerError
    from perf.suite.results import Run, require_release
    from perf.suite.spin import calibrate
    from perf.suite.text import render

    for kind, given, known in (("case", names, CASES), ("rival", rivals, RIVALS)):
        for name in given:
            if name not in known:
                raise click.UsageError(f"there is no {kind} {name}; there are {', '.join(known)}")
    wanted = list(names or CASES)
    calibrate()
    progress = Progress(wanted)
    plan = Plan(quick, frozenset(rivals), progress.step)
    try:
        run = Run(Results(require_release(), {"quick": quick}), {})
        with watched(run.results):
            for name in wanted:
                progress.case(name)
                run.cases[name] = CASES[name].run(plan)
    except (build.FloorError, WrongAnswerError) as error:
        raise click.ClickException(str(error)) from None
    finally:
        progress.end()
    run.save(out)
    click.echo(render(run, CASES))
    click.echo(f"\nsamples: {out}")


@click.command("compare")
@click.argument("new", type=PATH, default=RESULTS)
@click.argument("old", type=PATH, default=BASELINE)
@click.option(
    "--limit", default=1.15, show_default=True, help="How many times worse is a regression."
)
def compare_command(new: Path, old: Path, limit: float) -> None:
    """Compares two runs by their ratios to the best rival, which machines share more than times.

    Exit code 1 if a ratio has got worse.
    """
    from perf.cases import CASES
    from perf.suite.results import load, regressions

    found = regressions(load(new), load(old), CASES, limit)
    for line in found:
        click.echo(line)
    click.echo(f"{len(found)} ratios are worse by more than {limit:g}")
    sys.exit(1 if found else 0)


@click.command("plot")
@click.argument("results", type=PATH, default=RESULTS)
@click.argument("folder", type=FOLDER, default=Path("build/perf"))
def plot_command(results: Path, folder: Path) -> None:
    """Draws a run: one SVG a picture."""
    from perf.cases import CASES
    from perf.suite.results import load

    for path in drawing("plots").write(load(results), CASES, folder):
        click.echo(str(path))


@click.command("report")
@click.argument("results", type=PATH, default=RESULTS)
@click.argument("folder", type=FOLDER, default=BASELINE.parent)
def report_command(results: Path, folder: Path) -> None:
    """Makes the page with tables and pictures, and the baseline for `compare`."""
    from perf.cases import CASES
    from perf.suite.results import load, reduced

    report, run = drawing("report"), load(results)
    report.write(run, CASES, folder)
    reduced(run).save(folder / BASELINE.name)
    click.echo(str(folder / "index.html"))


COMMANDS = (list_command, run_command, compare_command, plot_command, report_command)
