"""The program ``isoexec``: one command a file. Exit codes stand in :mod:`isoexec.cli.common`."""

import logging
import os
import sys
from typing import NoReturn

import click

import isoexec
from isoexec.cli.bench import bench
from isoexec.cli.check import check
from isoexec.cli.common import EXIT_FAILED, EXIT_GOOD, EXIT_INTERRUPTED
from isoexec.cli.config import config
from isoexec.cli.demo import demo
from isoexec.cli.exec import exec_
from isoexec.cli.serve import serve
from isoexec.engine import close_all

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(isoexec.__version__, prog_name="isoexec")
def cli() -> None:
    """Runs SIP handler scripts in parallel, one own-GIL Python interpreter per rank."""


for _command in (serve, exec_, check, config, demo, bench):
    cli.add_command(_command)


def main() -> NoReturn:
    """Runs the program and leaves with its exit code.

    Leaves by ``os._exit``: CPython 3.12 before 3.12.4 may abort while it ends after a rank was
    used, which would replace the exit code.
    """
    code = _run()
    close_all()
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # the reader of a pipe left
            code = code or EXIT_FAILED
    os._exit(code)


def _run() -> int:
    """Runs the command; its exit code."""
    try:
        return cli.main(prog_name="isoexec", standalone_mode=False) or EXIT_GOOD
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return EXIT_FAILED
    except Exception:
        sys.excepthook(*sys.exc_info())
        return EXIT_FAILED
