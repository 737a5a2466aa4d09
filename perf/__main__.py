"""`python -m perf`: the commands of the measurements."""

import sys
from pathlib import Path

import click

CHECKOUT = Path(__file__).resolve().parent.parent

# `python -m` puts the checkout first, where the source folder isoexec/ hides the installed package.
# This package is loaded by now and finds its own modules without it.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != CHECKOUT]


@click.group()
def main() -> None:
    """Measures isoexec on this machine."""


@main.command()
@click.option("--quick", is_flag=True, help="At most 20 seconds, for CI: figures are rough.")
@click.option("--check", is_flag=True, help="Exit with status 1 when a case misses its bar.")
@click.option(
    "--json",
    "samples_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write every sample and the machine to this file.",
)
def floor(quick: bool, check: bool, samples_path: Path | None) -> None:
    """Compares isoexec with the cheapest crossing that can be written by hand."""
    from perf.floor import build, report, run

    try:
        results = run.measure(build.require_wheel(), run.QUICK if quick else run.FULL)
    except build.FloorError as error:
        raise click.ClickException(str(error)) from None
    cases = report.make_cases(results)
    if samples_path:
        samples_path.write_bytes(report.render_samples(results))
    click.echo(report.render(results, cases))
    if check and any(case.ok is False for case in cases):
        sys.exit(1)


if __name__ == "__main__":
    main(prog_name="python -m perf")
