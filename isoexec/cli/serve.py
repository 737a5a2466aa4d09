"""``isoexec serve``: the SIP proxy with a handler script."""

import os
import platform
import signal
import sys
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click

import isoexec
from isoexec import Engine, _proxy
from isoexec.cli.common import (
    ENGINE_LOG,
    EXIT_FAILED,
    EXIT_GOOD,
    SCRIPT,
    ConfigFailed,
    failures,
    load_settings,
    log_to_stderr,
    settings_options,
    show_json,
)
from isoexec.errors import ConfigError, error_from_code
from isoexec.settings import ENVIRONMENT_PREFIX, Settings

TOML_TABLE = "proxy"
PREFIX = "proxy_"
GRACEFUL_SECONDS = 10.0
STOP_POLL_SECONDS = 0.05
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2}


class ProxySetting(NamedTuple):
    """One row of the table of the proxy's settings."""

    name: str
    type: str
    scope: str
    choices: str
    default: str
    range_text: str
    doc: str

    @property
    def environment(self) -> str:
        return (ENVIRONMENT_PREFIX + PREFIX + self.name).upper()

    @property
    def many(self) -> bool:
        return self.type == "list"


# log_level is the engine's too: one option for both.
TABLE = {row.name: row for row in map(ProxySetting._make, _proxy.settings())}
OWN = [row for row in TABLE.values() if row.name != "log_level"]


def proxy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds one option for each setting of the proxy."""
    for row in reversed(OWN):
        names = [f"--{row.name.replace('_', '-')}", PREFIX + row.name]
        shown = f"default: {row.default}, " if row.default else ""
        command = click.option(
            *(["-w", *names] if row.name == "workers" else names),
            multiple=row.many,
            metavar=row.range_text if row.many else row.type.upper(),
            help=f"{row.doc} [{row.range_text}; {shown}env: {row.environment}]",
        )(command)
    return command


def proxy_settings(toml: Path | None, options: dict[str, Any]) -> list[tuple[str, str]]:
    """(name, text) of each setting that was given: options, then environment, then TOML.

    :raises ConfigError: the table of the file is none, or names what is no setting.
    """
    table: dict[str, Any] = {}
    if toml is not None:  # load_settings has read it before: it is a TOML file
        table = tomllib.loads(toml.read_text(encoding="utf-8")).get(TOML_TABLE, {})
        if not isinstance(table, dict):
            raise ConfigError(f"{toml}: {TOML_TABLE} must be a table, [{TOML_TABLE}]")
        unknown = sorted(table.keys() - {row.name for row in OWN})
        if unknown:
            raise ConfigError(f"{toml}: there is no setting {unknown[0]!r} of the proxy")
    pairs: list[tuple[str, str]] = []
    for row in OWN:
        value = options[PREFIX + row.name]
        if value is None or value == ():
            value = os.environ.get(row.environment, table.get(row.name))
            if row.many and isinstance(value, str):
                value = value.replace(",", " ").split()
        if value is not None:
            pairs += [(row.name, str(item)) for item in (value if row.many else (value,))]
    return pairs


class Proxy:
    """A proxy that runs on an engine, as a context manager."""

    def __init__(self, engine: Engine, ranks: int, pairs: list[tuple[str, str]]) -> None:
        try:
            self._handle = _proxy.start(*engine.capsules(), ranks, tuple(pairs))
        except RuntimeError as error:
            raise error_from_code(*error.args) from None
        self.addresses = _proxy.addresses(self._handle)

    def log_statistics(self) -> None:
        _proxy.log_statistics(self._handle)

    def stop(self, seconds: float) -> int:
        """Ends it; TERM or INT meanwhile end the wait. The number of workers that are stuck."""
        stuck: list[int] = []
        thread = threading.Thread(
            target=lambda: stuck.append(_proxy.stop(self._handle, int(seconds * 1000)))
        )
        thread.start()
        while thread.is_alive():
            if signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, STOP_POLL_SECONDS):
                _proxy.hurry(self._handle)
            thread.join(0)
        return stuck[0]


def wait_for_end(proxy: Proxy, signals: set[signal.Signals]) -> int:
    """Handles signals until one ends the proxy; which."""
    while (number := signal.sigwait(signals)) not in (signal.SIGTERM, signal.SIGINT):
        if number == signal.SIGUSR2:
            proxy.log_statistics()
    return number


def ready_line(engine: Engine, ranks: int, addresses: list[str]) -> str:
    level = "/".join(sorted({str(row["isolation"].value) for row in engine.settings.ranks()}))
    return (
        f"isoexec {isoexec.__version__} ready: CPython {platform.python_version()}, "
        f"{ranks} ranks {level}, handler {engine.settings['script_name']}, "
        f"listening on {' '.join(addresses)}"
    )


def leave_stuck(stuck: int) -> NoReturn:
    """Leaves a process whose ranks can not be ended: closing the engine would wait for them."""
    ENGINE_LOG.error("%d ranks were stuck in the handler", stuck, extra={"rank": 0})
    sys.stdout.flush()
    os._exit(EXIT_FAILED)


@click.command()
@SCRIPT
@proxy_options
@click.option(
    "--graceful-timeout",
    type=click.FloatRange(0, 86400),
    default=GRACEFUL_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long SIGTERM waits for transactions.",
)
@click.option("--pid-file", type=click.Path(dir_okay=False, path_type=Path), help="Holds the pid.")
@click.option("--notify/--no-notify", default=True, help="Tell systemd. [default: notify]")
@click.option("--check-config", is_flag=True, help="Checks the settings and ends.")
@click.option("--print-config", is_flag=True, help="Prints the settings as JSON and ends.")
@settings_options
def serve(
    script: str,
    graceful_timeout: float,
    pid_file: Path | None,
    notify: bool,
    check_config: bool,
    print_config: bool,
    toml: Path | None,
    pairs: tuple[str, ...],
    **options: Any,
) -> int:
    """Runs a multi-threaded SIP proxy that routes by the handler script HANDLER.

    Settings of the engine come from the table [engine] of a TOML file, those of the proxy from
    [proxy]. TERM ends the proxy when its transactions have ended, INT at once, HUP reloads the
    script, USR2 logs counters.
    """
    with failures():
        engine_options = {k: v for k, v in options.items() if not k.startswith(PREFIX)}
        given = proxy_settings(toml, options)
        workers = next((text for name, text in given if name == "workers"), "0")
        if workers not in ("0", ""):
            engine_options.setdefault("ranks", None)
            engine_options["ranks"] = engine_options["ranks"] or workers
        defaults = {"reload_signal": "hup"}
        settings = load_settings(toml, pairs, engine_options, script, defaults)
        settings = settings.merged({"channel": "inline"})
        if any(row["channel"].value != "inline" for row in settings.ranks()):
            raise ConfigError("the ranks of a proxy are its workers, so their channel is inline")
        level = settings.get("log_level")
        if level is not None:
            given.append(("log_level", str(level)))
        if print_config:
            show_json({"engine": dict(settings), "rank": settings.per_rank, "proxy": given})
        if check_config or print_config:
            return 0
        return run(settings, given, graceful_timeout, pid_file, notify)


def run(
    settings: Settings,
    given: list[tuple[str, str]],
    graceful_timeout: float,
    pid_file: Path | None,
    notify: bool,
) -> int:
    """Serves until a signal ends it; the exit code."""
    if not any(name == "listen" for name, _ in given):
        raise ConfigFailed("no address to listen on: give --listen udp:HOST:PORT")
    name = settings.texts["reload_signal"]
    reload_by = set() if name == "none" else {signal.Signals[f"SIG{name.upper()}"]}
    # Before any thread is made: all inherit it. A HUP that does not reload must not end the proxy.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS | reload_by)
    log_to_stderr()
    tell = _proxy.notify if notify else lambda _text: None
    with Engine(settings=settings, host_functions=_proxy.functions()) as engine:
        ranks = engine.settings.rank_count
        proxy = Proxy(engine, ranks, given)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, reload_by)  # the engine takes it on this thread
        if pid_file is not None:
            pid_file.write_text(f"{os.getpid()}\n")
        click.echo(ready_line(engine, ranks, proxy.addresses))
        sys.stdout.flush()
        tell("READY=1")
        number = wait_for_end(proxy, SIGNALS - reload_by)
        tell("STOPPING=1")
        stuck = proxy.stop(graceful_timeout if number == signal.SIGTERM else 0)
        if pid_file is not None:
            pid_file.unlink(missing_ok=True)
        if stuck:
            leave_stuck(stuck)
        return EXIT_FAILED if engine.close() else EXIT_GOOD  # the log names what was abandoned
