"""What the commands share: exit codes, options made from the settings table, JSON, addresses."""

import json
import logging
import select
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from isoexec._given import Given
from isoexec._sources import environment_rows, toml_rows
from isoexec.engine import LOG_LEVELS
from isoexec.errors import ConfigError, EngineError, IsoexecError, ScriptError
from isoexec.settings import Settings, checked_together, table

EXIT_GOOD = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 3
EXIT_START = 4
EXIT_SCRIPT = 5
EXIT_INTERRUPTED = 130

ENGINE_LOG = logging.getLogger("isoexec.engine")

type Command = Callable[..., Any]
type Address = tuple[str, int]


class Failed(click.ClickException):
    """The call or the command failed."""

    exit_code = EXIT_FAILED


class ConfigFailed(click.ClickException):
    """A setting is wrong."""

    exit_code = EXIT_CONFIG


class StartFailed(click.ClickException):
    """The engine or a rank did not start."""

    exit_code = EXIT_START


class ScriptFailed(click.ClickException):
    """The handler script could not be loaded."""

    exit_code = EXIT_SCRIPT


@contextmanager
def failures() -> Iterator[None]:
    """Turns errors of isoexec into the exit codes of the program."""
    try:
        yield
    except ScriptError as error:
        raise ScriptFailed(str(error)) from error
    except ConfigError as error:
        raise ConfigFailed(str(error)) from error
    except EngineError as error:
        raise StartFailed(str(error)) from error
    except IsoexecError as error:
        raise Failed(str(error)) from error


def settings_options(command: Command) -> Command:
    """Adds -c, -o, --rank and one option for each row of the settings table but HANDLER's."""
    for row in reversed(table().values()):
        if row.name == "script_name":
            continue
        shown = f"default: {row.default}, " if row.default else ""
        command = click.option(
            row.option,
            row.name,
            metavar=row.type.upper(),
            help=f"{row.doc} [{row.range_text}; {shown}env: {row.environment}]",
        )(command)
    command = click.option(
        "--rank",
        "rank_pairs",
        multiple=True,
        metavar="RANKS:NAME=VALUE",
        help="A setting of some ranks, 3-4:deadline=20ms; may be given again. "
        "[env: ISOEXEC_RANK_3_4_DEADLINE, ISOEXEC_RANK_3_DEADLINE]",
    )(command)
    command = click.option(
        "-o",
        "--option",
        "pairs",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any setting by its name; may be given again.",
    )(command)
    return click.option(
        "-c",
        "--config",
        "toml",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="TOML file; its tables [engine] and, for some ranks, [rank.3-4] are read.",
    )(command)


def load_settings(
    toml: Path | None,
    pairs: tuple[str, ...],
    options: dict[str, Any],
    script: str | None,
    defaults: dict[str, str] | None = None,
) -> Settings:
    """The settings of a command line, checked together as an engine does.

    :param options: by the names of settings, and ``rank_pairs``.
    :param defaults: what the command itself has instead of the table's defaults.
    """
    rows = [Given("script_name", script, "HANDLER")] if script is not None else []
    for pair in pairs:
        name, value = _pair("-o", pair)
        rows.append(Given(name, value, f"-o {name}"))
    for pair in options.pop("rank_pairs"):
        ranks, colon, rest = pair.partition(":")
        if not colon:
            raise click.UsageError(f"--rank {pair}: RANKS:NAME=VALUE is needed")
        name, value = _pair("--rank", rest)
        rows.append(Given(name, value, f"--rank {ranks}", ranks))
    rows += [
        Given(name, value, table()[name].option)
        for name, value in options.items()
        if value is not None
    ]
    return checked_together(
        [Given(name, value, "the command") for name, value in (defaults or {}).items()],
        toml_rows(toml) if toml is not None else [],
        environment_rows(),
        rows,
    )


def _pair(option: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{option} {text}: NAME=VALUE is needed")
    return name.strip().replace("-", "_"), value


class StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Never waits for the reader: what has no room is dropped, the next line says how much.

    The twin of the engine's own log for hosts in C, ``iso_log_standard_error()``.
    """

    _lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _, room, _ = select.select([], [self.stream], [], 0)
        except (OSError, ValueError):  # without a descriptor nothing is ever full
            room = [self.stream]
        if not room:
            self._lost += 1
            return
        if self._lost:
            lost = f"{self._lost} log lines were lost: nobody read standard error"
            self._lost = 0
            ENGINE_LOG.warning(lost, extra={"rank": 0})  # comes here again
        super().emit(record)


def log_to_stderr() -> None:
    """Shows the log of engine and scripts on standard error."""
    logging.addLevelName(LOG_LEVELS[2], "NOTICE")
    handler = StandardErrorHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s rank %(rank)d: %(message)s"))
    logger = logging.getLogger("isoexec")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False


def show_json(value: object) -> None:
    """Prints one JSON document. Octets that are not UTF-8 are shown as ``\\xff``."""
    shown = _printable(value)
    try:
        import orjson
    except ImportError:  # a CPython that is just out has no orjson yet
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        click.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS))


def _printable(value: object) -> object:
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_printable(item) for item in value]
    return value


def readable(text: str | bytes) -> str:
    """Text for a terminal: octets that are not UTF-8 become ``\\xff``."""
    octets = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    return octets.decode("utf-8", "backslashreplace")


def show_table(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, left: bool = False
) -> None:
    """Prints columns; the first is aligned left, the others right, or `left` all."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, tuple("-" * width for width in widths), *rows):
        cells = [
            cell.ljust(width) if i == 0 or left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def address(_ctx: click.Context, _param: click.Parameter, value: str | None) -> Address | None:
    """Callback of an option: ``IP:PORT``, ``[IPv6]:PORT``, or an IP alone, which has port 5060."""
    if value is None:
        return None
    ip, colon, port = value.rpartition(":")
    if not colon or value.endswith("]") or (":" in ip and not ip.startswith("[")):
        ip, port = value, "5060"
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise click.BadParameter(f"{value}: the port must be 0 to 65535")
    return ip, int(port)


SCRIPT = click.argument("script", metavar="HANDLER", type=click.Path())
