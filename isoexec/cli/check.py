"""``isoexec check``: would this handler script run in a rank?"""

import sys
from typing import Any

import click

from isoexec.check import Finding, Report, check_script
from isoexec.cli.common import (
    EXIT_FAILED,
    EXIT_GOOD,
    EXIT_SCRIPT,
    SCRIPT,
    failures,
    load_settings,
    readable,
    settings_options,
    show_json,
)


@click.command()
@SCRIPT
@click.option(
    "-m",
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="A method that the host will call; may be given again. Default: every public one.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(1, 3600),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long the script may take to load.",
)
@click.option("--json", "as_json", is_flag=True, help="Prints one JSON document.")
@settings_options
def check(
    script: str,
    methods: tuple[str, ...],
    timeout: float,
    as_json: bool,
    toml: Any,
    pairs: tuple[str, ...],
    **options: Any,
) -> None:
    """Loads HANDLER in a real rank, in a child process, and lists what would go wrong.

    mod_init and child_init of the script run, mod_init twice. Names modules that are refused in a
    rank, and methods that are missing or can not be called as method(msg) or method(msg, extra).

    Exit code: 0 nothing found; 1 something found; 2 usage; 3 settings; 5 the script does not load.
    """
    with failures():
        settings = load_settings(toml, pairs, options, script)
        report = check_script(settings, methods, timeout)
    if as_json:
        show_json(report.as_dict())
    else:
        _show(script, report)
    code = EXIT_GOOD if not report.findings else EXIT_FAILED if report.loaded else EXIT_SCRIPT
    click.get_current_context().exit(code)


def _show(script: str, report: Report) -> None:
    for finding in report.findings:
        click.echo(f"{finding.kind}: {readable(finding.text)}")
        if finding.traceback:
            click.echo(_indented(finding))
    if report.methods:
        click.echo("methods: " + ", ".join(f"{m.name}{m.signature}" for m in report.methods))
    python = ".".join(map(str, sys.version_info[:3]))
    if report.findings:
        click.echo(f"{script}: {len(report.findings)} problem(s) in a rank of Python {python}")
    else:
        took = f"start took {report.start_ms:.0f} ms"
        click.echo(f"{script}: runs in a rank of Python {python}, {took}")


def _indented(finding: Finding) -> str:
    return "\n".join("    " + line for line in readable(finding.traceback).rstrip().splitlines())
