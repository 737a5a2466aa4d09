"""`python -m perf`: the commands of the measurements."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import click

import perf.paths  # noqa: F401  before isoexec
from perf.suite.commands import COMMANDS


@click.group()
def main() -> None:
    """Measures isoexec on this machine."""


def options[**P](function: Callable[P, None]) -> Callable[P, None]:
    """What every measurement takes."""
    quick = click.option("--quick", is_flag=True, help="For CI: some seconds, rough figures.")
    check = click.option("--check", is_flag=True, help="Exit with 1 when a case misses its bar.")
    samples = click.option(
        "--json",
        "samples_path",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write every sample and the machine to this file.",
    )
    return quick(check(samples(function)))


def measure_and_report(
    run: ModuleType, report: ModuleType, quick: bool, check: bool, samples_path: Path | None
) -> None:
    """Runs the cases of one measurement, and says what came of them."""
    from perf.floor import build
    from perf.floor.report import render_samples

    try:
        results = run.measure(build.require_wheel(), run.QUICK if quick else run.FULL)
    except build.FloorError as error:
        raise click.ClickException(str(error)) from None
    cases = report.make_cases(results)
    if samples_path:
        samples_path.write_bytes(render_samples(results))
    click.echo(report.render(results, cases))
    if check and any(case.ok is False for case in cases):
        sys.exit(1)


@main.command()
@options
def floor(quick: bool, check: bool, samples_path: Path | None) -> None:
    """Compares isoexec with the cheapest crossing that can be written by hand."""
    from perf.floor import report, run

    measure_and_report(run, report, quick, check, samples_path)


@main.command()
@options
def handoff(quick: bool, check: bool, samples_path: Path | None) -> None:
    """Compares the queue with a bare hand-off, inline ranks and process pools."""
    from perf.handoff import report, run

    measure_and_report(run, report, quick, check, samples_path)


@main.command()
@options
def deadline(quick: bool, check: bool, samples_path: Path | None) -> None:
    """Measures what a deadline costs, and how late it ends a call."""
    from perf.deadline import report, run

    measure_and_report(run, report, quick, check, samples_path)


@main.command()
@options
def process(quick: bool, check: bool, samples_path: Path | None) -> None:
    """Compares a process rank with a multiprocessing pipe to a process."""
    from perf.process import report, run

    measure_and_report(run, report, quick, check, samples_path)


@main.command()
@options
def proxy(quick: bool, check: bool, samples_path: Path | None) -> None:
    """Compares the proxy with Kamailio and a bare responder under the same load."""
    from perf.proxy import report, run

    measure_and_report(run, report, quick, check, samples_path)


for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="python -m perf")
