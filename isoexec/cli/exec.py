"""``isoexec exec``: one message through one method."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import click

from isoexec import Edit, Engine, Result
from isoexec.cli.common import (
    EXIT_FAILED,
    EXIT_GOOD,
    SCRIPT,
    Address,
    StartFailed,
    address,
    failures,
    load_settings,
    log_to_stderr,
    readable,
    settings_options,
    show_json,
)
from isoexec.errors import RankError

DEFAULTS = {"timing": "full", "channel": "inline"}


@click.command("exec")
@SCRIPT
@click.argument("method", metavar="METHOD")
@click.argument("message", metavar="[MESSAGE]", type=click.File("rb"), default="-")
@click.option("--extra", metavar="TEXT", help="Second argument of the method, if it takes one.")
@click.option(
    "--route",
    type=click.Choice(["request", "onreply", "failure", "branch"]),
    default="request",
    show_default=True,
    help="Route type that the method is told.",
)
@click.option("--source", metavar="IP:PORT", callback=address, help="Sender of the message.")
@click.option("--destination", metavar="IP:PORT", callback=address, help="Where it was received.")
@click.option(
    "--on",
    "rank",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="RANK",
    help="Number of the rank that runs it.",
)
@click.option(
    "--repeat",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Runs the call N times; the last one is shown, and the times of all.",
)
@click.option("--json", "as_json", is_flag=True, help="Prints one JSON document.")
@settings_options
def exec_(
    script: str,
    method: str,
    message: Any,
    extra: str | None,
    route: Any,
    source: Address | None,
    destination: Address | None,
    rank: int,
    repeat: int,
    as_json: bool,
    toml: Any,
    pairs: tuple[str, ...],
    **options: Any,
) -> None:
    """Runs METHOD of the handler script HANDLER for one SIP message and shows what came of it.

    The message is read from the file MESSAGE, or from standard input. Log lines go to standard
    error.

    Exit code: 0 if the method returned, whatever its code; 1 if it failed; 2 usage; 3 settings;
    4 the engine did not start; 5 the script could not be loaded.
    """
    octets = message.read()
    log_to_stderr()
    with failures():
        settings = load_settings(toml, pairs, options, script, DEFAULTS)
        highest = max(rank, settings.rank_count)
        with (
            Engine(settings=settings, ranks=highest) as engine,
            _way_in(engine, rank) as python_exec,
        ):
            times = []
            for _ in range(repeat):
                try:
                    result = python_exec(
                        method, octets, extra, route=route, source=source, destination=destination
                    )
                except ValueError as error:
                    raise click.UsageError(str(error)) from error
                times.append(result.elapsed_ns)
            report = _report(result, [t for t in times if t is not None], repeat)
    if as_json:
        show_json(report)
    else:
        _show(report)
    click.get_current_context().exit(EXIT_GOOD if result.outcome == "returned" else EXIT_FAILED)


@contextlib.contextmanager
def _way_in(engine: Engine, number: int) -> Iterator[Callable[..., Result]]:
    """What runs a method in the rank, on the engine's channel."""
    if engine.settings.of_rank(number)["channel"].value == "queue":
        yield functools.partial(engine.python_exec, rank=number)
        return
    try:
        opened = engine.open_rank(number)
    except RankError as error:
        raise StartFailed(str(error)) from error
    with opened:
        yield opened.python_exec


def _report(result: Result, times: list[int], repeat: int) -> dict[str, Any]:
    report: dict[str, Any] = {
        "code": result.code,
        "outcome": result.outcome,
        "new_uri": result.new_uri,
        "dst_uri": result.dst_uri,
        "edits": [_edit(edit) for edit in result.edits],
        "error": result.error,
        "elapsed_ns": result.elapsed_ns,
        "rendered": readable(result.rendered) if result.outcome != "malformed" else None,
    }
    if repeat > 1 and times:
        times.sort()
        report["repeat"] = {
            "calls": repeat,
            "min_ns": times[0],
            "median_ns": times[len(times) // 2],
            "max_ns": times[-1],
        }
    return report


def _edit(edit: Edit) -> dict[str, str | None]:
    value = readable(edit.value) if isinstance(edit.value, bytes) else edit.value
    return {"kind": edit.kind, "name": edit.name, "value": value}


def _show(report: dict[str, Any]) -> None:
    click.echo(f"code       {report['code']}")
    click.echo(f"outcome    {report['outcome']}")
    if report["elapsed_ns"] is not None:
        click.echo(f"time       {report['elapsed_ns'] / 1000:.2f} us")
    if "repeat" in report:
        row = report["repeat"]
        names = ("min", "median", "max")
        shown = ", ".join(f"{name} {row[f'{name}_ns'] / 1000:.2f}" for name in names)
        click.echo(f"{row['calls']} calls: {shown} us")
    for name in ("new_uri", "dst_uri"):
        if report[name] is not None:
            click.echo(f"{name:10} {readable(report[name])}")
    for edit in report["edits"]:
        parts = [readable(part) for part in (edit["name"], edit["value"]) if part is not None]
        click.echo(f"edit       {edit['kind']}: {': '.join(parts)}")
    if report["error"]:
        click.echo(f"error      {readable(report['error'])}")
    if report["rendered"] is not None:
        click.echo()
        text = report["rendered"].replace("\r\n", "\n")
        click.echo(text, nl=not text.endswith("\n"))
