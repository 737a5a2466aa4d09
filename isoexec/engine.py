"""Engine: one handler script and its ranks inside a Python program."""

import atexit
import inspect
import json
import logging
import os
import threading
import traceback
import types
import typing
import weakref
from collections.abc import Buffer, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from isoexec import _native
from isoexec._given import Given
from isoexec.errors import ConfigError
from isoexec.settings import PerRank, Settings, Value, checked_together, rows_of

__all__ = ["Engine", "HostFunction", "RankStats"]

HostFunction = Callable[..., int | None]
"""A host function in Python: called as ``f(call, *args)``, with str, int or None as arguments."""

type Route = Literal["request", "onreply", "failure", "branch"]
type Address = tuple[str, int]
type Look = Literal["versions", "modules", "memory", "threads", "run"]

LOOK_SECONDS = 5.0
RELOAD_SECONDS = 30.0
PUMP_SECONDS = 1.0
EVENT = 100  # stands in the place of a log level; the text is the name of the event

LOG_LEVELS = {
    -3: logging.CRITICAL,
    -2: logging.CRITICAL,
    -1: logging.ERROR,
    1: logging.WARNING,
    2: logging.INFO + 5,
    3: logging.INFO,
    4: logging.DEBUG,
}
"""OpenSIPS' log levels (ALERT, CRIT, ERR, WARN, NOTICE, INFO, DBG) as those of logging."""


@dataclass(frozen=True, slots=True)
class RankStats:
    """Counters of one rank since the engine was made."""

    number: int
    open: bool
    """Whether the rank serves; False if it was never opened or is closed."""
    stuck: bool
    """Whether its call goes on for the time of the setting ``grace`` after its deadline."""
    calls: int
    outcomes: dict[str, int]
    """How many calls ended so: ``"returned"``, ``"raised"``, ..."""
    edits: int
    log_lines: int
    opened_ns: int
    """How long the rank serves, in ns; 0 if it does not."""
    waiting: int
    """Calls that wait in the queue of this rank; those for any rank are not counted."""
    blocks: int
    """Memory blocks of the rank's interpreter when somebody last looked at its memory, else 0."""
    restarts: int
    """How often a new rank took over from a stuck one, or its process was started again."""
    reloads: int
    """How often the rank took new code of the script."""
    pid: int
    """Of its process; 0 if it has none of its own or none now."""
    sampled: int
    """How many calls the histogram holds."""
    histogram: bytes
    """256 counts of 8 octets, native order; :meth:`quantile` and :meth:`buckets` read it."""

    @property
    def age(self) -> float:
        """How long the rank serves, in seconds; 0 if it does not."""
        return self.opened_ns / 1e9

    def quantile(self, p: float) -> int:
        """The time in ns that a share `p` (0 to 1) of the sampled calls kept to, 0 if none."""
        return _native.histogram_quantile(self.histogram, p)

    def buckets(self) -> list[tuple[int, int]]:
        """(lower bound in ns, count) of each bucket that is not empty."""
        counts = memoryview(self.histogram).cast("Q")
        return [(low, n) for low, n in zip(_native.histogram_floors(), counts, strict=True) if n]


class Engine:
    """One handler script and its ranks: interpreters with a GIL of their own that run in parallel.

    .. code-block:: python

        with Engine("handler.py", ranks=4) as engine:
            result = engine.python_exec("route", message)

    On the channel *queue* every rank has a thread of its own, which starts with the engine, and
    calls come from any thread. On the channel *inline* a thread makes itself a rank with
    :meth:`open_rank`, and calls run on it, which is some 20 times faster. Ranks of one engine may
    have either.

    :param script: path of the ``.py`` or ``.pyc`` file; may be left out if the settings name one.
    :param ranks: how many ranks there are, 1 or more; by default 4.
    :param channel: ``"queue"`` or ``"inline"``; by default what the settings say, else queue.
    :param settings: a :class:`~isoexec.Settings` or mapping; ``Settings.from_toml(path)``.
    :param per_rank: what some ranks have of their own, by rank or range:
        ``{"3-4": RankSettings(deadline=0.05), 1: {"channel": "inline"}}``; wins over what is for
        all ranks.
    :param functions: host functions by the name that a script gives to ``msg.call_function``.
        Each is called as ``f(call, *args)`` on the thread of the rank; arguments are str, int or
        None, by the parameters' annotations ``int`` and ``str`` if there are any. The result must
        be int, bool, or None, which stands for 1. An exception becomes RuntimeError in the script.
    :param logger: where lines go: children ``script`` (with ``record.rank``) and ``engine``; by
        default the logger ``isoexec``.
    :param host_functions: host functions in C: a capsule ``isoexec.functions`` of an extension.
    :param on_event: called as ``on_event(event, rank)`` on the thread that writes the log lines,
        in order with them: ``"stuck"``, ``"freed"``, ``"replaced"``, ``"reloaded"``. It may not
        close the engine.
    :param more: settings by name; they win over `settings`.
    :raises ConfigError: settings or functions are wrong; lists every problem.
    :raises EngineStartError: the engine could not be made.
    :raises ScriptError: on the channel queue: the script, ``mod_init`` or ``child_init`` failed.
    """

    def __init__(
        self,
        script: str | os.PathLike[str] | None = None,
        *,
        ranks: int | None = None,
        channel: str | None = None,
        settings: Mapping[str, Value | None] | None = None,
        per_rank: PerRank | None = None,
        functions: Mapping[str, HostFunction] | None = None,
        logger: logging.Logger | None = None,
        host_functions: object | None = None,
        on_event: Callable[[str, int], None] | None = None,
        **more: Value | None,
    ) -> None:
        given: dict[str, Value | None] = {"script_name": script, "ranks": ranks, "channel": channel}
        twice = sorted(name for name in more if given.get(name) is not None)
        if twice:
            raise ConfigError(f"{twice[0]} is given twice")
        self.settings: Settings = checked_together(
            [Given("channel", "queue")], rows_of(settings or {}), rows_of(more | given, per_rank)
        )
        rows = _function_rows(functions or {})
        self._log = _LogPump(logger or logging.getLogger("isoexec"), on_event)
        try:
            more_rows = () if host_functions is None else (host_functions,)
            self._native = _native.Engine(
                self.settings.texts, self.settings.overrides, rows, self._log.queue, *more_rows
            )
            try:
                self._native.start()
            except BaseException:
                self._native.close()
                raise
        except BaseException:
            self._log.stop()
            raise
        self._close_lock = threading.Lock()
        _OPEN.add(self)

    def python_exec(
        self,
        method: str,
        message: Buffer,
        extra: str | None = None,
        *,
        rank: int | None = None,
        route: Route = "request",
        source: Address | None = None,
        destination: Address | None = None,
        timeout: float | None = None,
    ) -> _native.Result:
        """Runs ``handler.method(msg)`` or, with `extra`, ``handler.method(msg, extra)`` in a rank.

        For the channel queue, from any thread; the GIL is released meanwhile. What the method does
        wrong is in the result; an exception means that there is none. In a host function, a call to
        the rank that it serves runs at once, nested.

        :param message: the SIP message. Anything but bytes is copied first.
        :param rank: 1 to ``ranks``; None: one that is idle, or becomes so first.
        :param route: the route type that the script is told.
        :param source: (ip, port) of the sender.
        :param destination: (ip, port) that received the message.
        :param timeout: the longest wait in seconds, 0 or more; None: no limit. A call that still
            waits then is not made, one that runs ends unseen.
        :raises CallTimeoutError: the time is over. It is a TimeoutError.
        :raises OverloadError: the queue is full and the setting ``on_overload`` is ``reject``.
        :raises RankCycleError: the rank waits for the one that this thread serves.
        :raises EngineClosedError: the engine is closed, or was before the call ended.
        :raises RankError: the rank has the channel inline, or calls are nested too deeply.
        :raises ArgumentError: there is no such rank, or the message is empty.
        """
        return self._native.python_exec(
            method,
            message,
            extra,
            rank=rank,
            route=route,
            source=source,
            destination=destination,
            timeout=timeout,
        )

    def submit(
        self,
        method: str,
        message: Buffer,
        extra: str | None = None,
        *,
        rank: int | None = None,
        route: Route = "request",
        source: Address | None = None,
        destination: Address | None = None,
        timeout: float | None = None,
    ) -> _native.Task:
        """Hands a call to a rank, as :meth:`python_exec` does, and does not wait for its end.

        Keep the Task: a call whose Task is gone is cancelled.

        :param timeout: the longest wait for a place in a full queue, in seconds.
        :returns: a :class:`~isoexec.Task`, with ``result()``, ``wait()``, ``done()``, ``cancel()``.
        :raises IsoexecError: as :meth:`python_exec`, for what is known before the call runs.
        """
        return self._native.submit(
            method,
            message,
            extra,
            rank=rank,
            route=route,
            source=source,
            destination=destination,
            timeout=timeout,
        )

    def open_rank(self, number: int) -> _native.Rank:
        """Makes the calling thread the rank `number`; blocks 10 to 100 ms while the script loads.

        For ranks with the channel inline. Use the rank on this thread only, and close it there (it
        is a context manager). The thread may open the number again later.

        :param number: 1 to ``ranks``.
        :raises ScriptError: the script, ``mod_init`` or ``child_init`` failed; see ``traceback``.
        :raises RankError: the number is open or has the channel queue, or the engine is closed.
        :raises ArgumentError: the number is out of range, or the thread's stack is too small.
        :raises EngineStartError: no interpreter could be made.
        """
        return self._native.open_rank(number)

    def stats(self) -> list[RankStats]:
        """The counters of every rank that was opened; never waits for a rank.

        :raises EngineClosedError: the engine is closed.
        """
        rows = (self._rank_stats(number) for number in range(1, self.settings.rank_count + 1))
        return [row for row in rows if row.open or row.calls]

    def _rank_stats(self, number: int) -> RankStats:
        row = self._native.stats(number)
        _, is_open, stuck, calls, outcomes, edits, log_lines, opened_ns = row[:8]
        waiting, blocks, restarts, reloads, pid, sampled, histogram = row[8:]
        return RankStats(
            number=number,
            open=is_open,
            stuck=stuck,
            calls=calls,
            outcomes=dict(zip(_native.outcomes(), outcomes, strict=True)),
            edits=edits,
            log_lines=log_lines,
            opened_ns=opened_ns,
            waiting=waiting,
            blocks=blocks,
            restarts=restarts,
            reloads=reloads,
            pid=pid,
            sampled=sampled,
            histogram=histogram,
        )

    def reload(self, *, timeout: float = RELOAD_SECONDS) -> None:
        """Has each rank load the script and its own modules afresh; from any thread.

        One rank after another does it between two calls, beside the old code, which goes on where
        the new one fails, and in the ranks after it. ``docs/reload.md`` says what is reloaded.

        :param timeout: how long to wait for all ranks, 0 to 3600 seconds; the new code has as long
            in each rank, unless this is 0.
        :raises ScriptError: the new script, its ``mod_init`` or ``child_init`` failed, or took too
            long; see ``traceback``. The old code goes on.
        :raises CallTimeoutError: a rank was busy all the time, or nobody serviced it; it reloads
            before its next call.
        :raises RankError: another reload is going on, or this thread is in a call of the engine.
        :raises EngineClosedError: the engine is closed.
        """
        self._native.reload(timeout)

    def look(
        self, rank: int, what: Look, snippet: str | None = None, *, timeout: float = LOOK_SECONDS
    ) -> Any:
        """Looks into a rank between two of its calls; from any thread.

        :param rank: 1 to ``ranks``.
        :param what: ``"versions"``, ``"modules"``, ``"memory"``, ``"threads"``; or ``"run"``, which
            runs `snippet` in the rank, if the setting ``allow_look`` is on.
        :param snippet: Python code of one or more lines; its variable ``result`` is the answer.
        :param timeout: how long to wait for the rank, 0 to 3600 seconds.
        :returns: what the rank says, made of JSON's types.
        :raises CallTimeoutError: the rank was busy all the time, or nobody serviced it; what it has
            not begun is not done later either.
        :raises OverloadError: 64 looks wait there already.
        :raises FunctionError: the snippet raised, or its result is not of JSON's types.
        :raises RankError: the rank is not open, or code may not be run in it.
        :raises ArgumentError: there is no such rank, or nothing of this name to look at.
        """
        code = None if snippet is None else snippet.encode("utf-8", "surrogatepass")
        return json.loads(self._native.look(rank, what, code, timeout))

    def capsules(self) -> tuple[object, object]:
        """The engine and its log as capsules, for a host in C that runs in this process.

        They are borrowed: that host must have ended before the engine is closed.
        """
        return self._native.capsules()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._native.closed

    @property
    def channel(self) -> Literal["queue", "inline"]:
        """How calls reach the ranks, but for those that have a channel of their own."""
        return self._native.channel

    @property
    def log_dropped(self) -> int:
        """How many log lines were lost because they came faster than logging took them."""
        return self._log.queue.dropped

    def close(self) -> int:
        """Ends the engine: ends its ranks, or waits for their threads, and flushes the log.

        Blocks up to the setting ``grace`` for calls that run and for ranks whose threads live
        on. Calls that wait in a queue end with EngineClosedError.

        :returns: the number of ranks that had to be abandoned; 0 when all is well, and when the
            engine was closed before.
        :raises RankError: in a host function, or inside a call of this thread.
        """
        with self._close_lock:
            abandoned = self._native.close()
            self._log.stop()
            _OPEN.discard(self)
            return abandoned

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = " closed" if self.closed else ""
        return f"<Engine {self.settings.get('script_name')!r}{state}>"


_OPEN: "weakref.WeakSet[Engine]" = weakref.WeakSet()


@atexit.register
def close_all() -> None:
    """Closes every engine that is still open. Runs by itself when the program ends."""
    for engine in list(_OPEN):
        engine.close()


class _LogPump:
    """Carries log lines and events from the engine's queue to logging, on a thread of its own.

    The thread is a daemon, since one that is not would be joined before atexit closes the engine.
    """

    def __init__(self, logger: logging.Logger, on_event: Callable[[str, int], None] | None) -> None:
        self.queue = _native.LogQueue()
        self._on_event = on_event
        self._script = logger.getChild("script")
        self._engine = logger.getChild("engine")
        self._thread = threading.Thread(target=self._run, name="isoexec-log", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (lines := self.queue.read(PUMP_SECONDS)) is not None:
            for level, rank, text in lines:
                try:
                    self._carry(level, rank, text)
                except Exception:  # a filter raised: the next line must come all the same
                    traceback.print_exc()

    def _carry(self, level: int, rank: int, text: str) -> None:
        if level != EVENT:
            logger = self._script if rank else self._engine
            shown = LOG_LEVELS.get(level, logging.INFO)
            logger.log(shown, "%s", text, extra={"rank": rank})
        elif self._on_event is not None:
            self._on_event(text, rank)

    def stop(self) -> None:
        """Takes no more lines and waits until those that are there were written."""
        self.queue.close()
        if threading.current_thread() is not self._thread:
            self._thread.join()


def _function_rows(
    functions: Mapping[str, HostFunction],
) -> tuple[tuple[str, str | None, HostFunction], ...]:
    """(name, signature, callable) of each host function, checked."""
    problems = []
    rows = []
    for name, function in functions.items():
        try:
            rows.append((name, _signature(name, function), function))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("; ".join(problems))
    return tuple(rows)


def _signature(name: str, function: HostFunction) -> str | None:
    """The signature letters of a callable, without its first parameter, the call."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise ConfigError(f"the name of a host function must be a text, not {name!r}")
    if not callable(function):
        raise ConfigError(f"host function {name} can not be called: {function!r}")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None  # a builtin that does not say: it takes what the script gives
    letters = ""
    taken_call = False
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return letters + "*"
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.default is parameter.empty:
                raise ConfigError(
                    f"host function {name} has a keyword-only parameter {parameter.name}"
                )
        elif not taken_call:
            taken_call = True
        else:
            if parameter.default is not parameter.empty and "|" not in letters:
                letters += "|"
            letters += _letter(parameter.annotation)
    if not taken_call:
        raise ConfigError(f"host function {name} must take the call as its first parameter")
    return letters


def _letter(annotation: object) -> str:
    """The letter s for text, i for int, v for either; ``| None`` and quotes do not count."""
    if isinstance(annotation, str):
        words = {word.strip() for word in annotation.split("|")} - {"None"}
    else:
        union = typing.get_origin(annotation) in (types.UnionType, typing.Union)
        kinds = typing.get_args(annotation) if union else (annotation,)
        words = {getattr(kind, "__name__", "") for kind in kinds} - {"NoneType"}
    return {frozenset({"str"}): "s", frozenset({"int"}): "i"}.get(frozenset(words), "v")
