"""``isoexec bench``: the suite of measurements, which the wheel brings along."""

import sys
from pathlib import Path

import click

from isoexec.cli.common import EXIT_GOOD

FOLDER = Path(__file__).resolve().parent.parent / "bench"  # holds the folder perf of the source


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def bench(words: tuple[str, ...]) -> int:
    """Measures isoexec beside its rivals on this machine (bench --help).

    The same as ``python -m perf`` in the source: ``isoexec bench run --quick`` takes a minute or
    two, ``isoexec bench run round_trip`` runs one case.
    """
    if FOLDER.is_dir():  # else this is the source, which has perf beside isoexec
        sys.path.append(str(FOLDER))
    from perf.__main__ import main

    return main.main(list(words), prog_name="isoexec bench", standalone_mode=False) or EXIT_GOOD
