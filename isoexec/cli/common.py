"""What the commands share: exit codes, options made from the settings table, JSON, addresses."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from isoexec.engine import LOG_LEVELS
from isoexec.errors import ConfigError, EngineError, IsoexecError, ScriptError
from isoexec.settings import Settings, Value, table

EXIT_GOOD = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 3
EXIT_START = 4
EXIT_SCRIPT = 5
EXIT_INTERRUPTED = 130

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
    """Adds -c, -o and one option for each row of the settings table, except those in HANDLER."""
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
        help="TOML file; its table [engine] is read.",
    )(command)


def load_settings(
    toml: Path | None, pairs: tuple[str, ...], options: dict[str, Any], script: str | None
) -> Settings:
    """The settings of a command line: options win over the environment, that over the TOML file."""
    given: dict[str, Value | Any] = {"script_name": script}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"-o {pair}: NAME=VALUE is needed")
        given[name.strip().replace("-", "_")] = value
    given |= {name: value for name, value in options.items() if value is not None}
    return Settings.load(given, toml=toml)


def log_to_stderr() -> None:
    """Shows the log of engine and scripts on standard error."""
    logging.addLevelName(LOG_LEVELS[2], "NOTICE")
    handler = logging.StreamHandler(sys.stderr)
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


def show_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Prints columns; the first is aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, tuple("-" * width for width in widths), *rows):
        cells = [
            cell.ljust(width) if i == 0 else cell.rjust(width)
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
