"""The extension module: the engine for Python programs. Use the names in ``isoexec``."""

from collections.abc import Buffer, Callable, Iterable
from types import TracebackType
from typing import Any, Literal, Self, final

from _typeshed import structseq

type _Route = Literal["request", "onreply", "failure", "branch"]
type _Address = tuple[str, int]
type _Override = tuple[int, int, str, str]  # first and last rank, name, text
type _Look = Literal["versions", "modules", "memory", "threads", "run"]

type _Kind = Literal[
    "set_ruri",
    "set_dst_uri",
    "append_header",
    "insert_header",
    "remove_header",
    "replace_header",
    "set_body",
]

@final
class Edit(structseq[str | bytes | None], tuple[_Kind, str | None, str | bytes | None]):
    """One change that a method made to the message: a tuple (kind, name, value)."""

    __match_args__ = ("kind", "name", "value")
    @property
    def kind(self) -> _Kind: ...
    @property
    def name(self) -> str | None:
        """Header name, or Content-Type of a body."""
    @property
    def value(self) -> str | bytes | None:
        """bytes of a body, else text."""

@final
class Result:
    """The answer of one call."""

    @property
    def code(self) -> int:
        """What the method returned: above 0 true, 0 ends the script, below 0 false.

        -1 for every failure.
        """
    @property
    def outcome(
        self,
    ) -> Literal["returned", "raised", "exit", "bad_value", "missing", "malformed", "refused"]:
        """How the call ended."""
    @property
    def message(self) -> bytes:
        """The message that the call was about, as given."""
    @property
    def new_uri(self) -> str | None:
        """The R-URI that the method set, or None."""
    @property
    def dst_uri(self) -> str | None:
        """The destination that the method set, or None."""
    @property
    def edits(self) -> tuple[Edit, ...]:
        """Every change that the method made, in order."""
    @property
    def error(self) -> str | None:
        """Reason or traceback of a failure, with rank, method and Call-ID; None on success."""
    @property
    def elapsed_ns(self) -> int | None:
        """Time of the call in ns with the setting timing "full", else None."""
    @property
    def rank(self) -> int:
        """The number of the rank that ran the call."""
    @property
    def rendered(self) -> bytes:
        """The message with the edits applied. Raises MessageError if the message is malformed."""

@final
class Task:
    """One call that :meth:`isoexec.Engine.submit` handed to a rank.

    Keep it until the call ended: a call whose Task is gone is cancelled. Any thread may use it.
    """

    def done(self) -> bool:
        """Whether the call ended, was cancelled, or will not be made since the engine is closed."""
    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the call is done.

        :param timeout: the longest wait in seconds, 0 or more; None: no limit.
        :returns: False if the time is over before.
        :raises RankCycleError: its rank waits for the call that this thread serves.
        """
    def result(self, timeout: float | None = None) -> Result:
        """Waits for the call and returns its Result, each time the same one.

        :param timeout: the longest wait in seconds, 0 or more; None: no limit.
        :raises CallTimeoutError: the time is over; the call goes on.
        :raises CallCancelledError: it was cancelled.
        :raises EngineClosedError: the engine was closed before the call ended.
        :raises RankCycleError: its rank waits for the call that this thread serves.
        """
    def cancel(self) -> bool:
        """Lets go of the call: if it still waits it is not made, if it runs it ends unseen.

        :returns: False if the call has ended already; then its result is there.
        """
    @property
    def rank(self) -> int | None:
        """The rank that it was handed to, or that took it; None if none did yet."""
    @property
    def user(self) -> Any:
        """What submit was given as `user`."""

@final
class Rank:
    """One worker: the thread that opened it and the interpreter it owns. Use and close it there."""

    @property
    def number(self) -> int: ...
    @property
    def closed(self) -> bool: ...
    def python_exec(
        self,
        method: str,
        message: Buffer,
        extra: str | None = None,
        *,
        route: _Route = "request",
        source: _Address | None = None,
        destination: _Address | None = None,
    ) -> Result:
        """Runs ``handler.method(msg)`` or, with `extra`, ``handler.method(msg, extra)``.

        The GIL of this interpreter is released meanwhile. What the method does wrong is in the
        result; an exception means that no call was made.

        :param message: the SIP message. Anything but bytes is copied first.
        :param route: the route type that the script is told.
        :param source: (ip, port) of the sender.
        :param destination: (ip, port) that received the message.
        :raises RankError: wrong thread, rank closed, or calls nested too deeply.
        """
    def batch(
        self,
        method: str,
        messages: Iterable[Buffer],
        extra: str | None = None,
        *,
        route: _Route = "request",
        source: _Address | None = None,
        destination: _Address | None = None,
    ) -> list[Result]:
        """Runs the method for each message while the rank stays attached, which is cheaper.

        The GIL of this interpreter is released for the whole batch. The results are in the order
        of the messages. Raises RankError as python_exec does; then the results are lost.
        """
    def fileno(self) -> int:
        """A descriptor that is readable while :meth:`service` has something to do."""
    def service(self) -> bool:
        """Does what others want of the rank, such as :meth:`isoexec.Engine.look`.

        It is done before the next call in any case; an idle rank needs this to answer soon.

        :returns: True if the engine is closing and the rank should be closed.
        :raises RankError: another thread's rank, or inside a call.
        """
    def close(self) -> None:
        """Ends the rank: joins the script's threads, runs its exit functions. Again: does nothing.

        :raises RankError: another thread's rank, or inside a call.
        """
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

@final
class Call:
    """The call that a host function serves. Reads raise RuntimeError when the function returned."""

    @property
    def rank(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def function(self) -> str: ...
    @property
    def route(self) -> str: ...
    @property
    def raw(self) -> bytes: ...
    @property
    def edits(self) -> tuple[Edit, ...]: ...
    @property
    def source(self) -> _Address | None: ...
    @property
    def destination(self) -> _Address | None: ...

@final
class LogQueue:
    """Lines and events of an engine on their way to logging; holds 4096, drops and counts more."""

    def __new__(cls) -> Self: ...
    @property
    def dropped(self) -> int: ...
    def read(self, timeout: float, /) -> list[tuple[int, int, str]] | None: ...
    def close(self) -> None: ...

@final
class Engine:
    """The owner of one iso_engine; :class:`isoexec.Engine` wraps it."""

    def __new__(
        cls,
        settings: dict[str, str],
        overrides: tuple[_Override, ...],
        functions: tuple[tuple[str, str | None, Callable[..., int | None]], ...],
        log_queue: LogQueue,
        host_functions: object = ...,
        /,
    ) -> Self: ...
    @property
    def closed(self) -> bool: ...
    @property
    def channel(self) -> Literal["queue", "inline"]: ...
    def start(self) -> None: ...
    def python_exec(
        self,
        method: str,
        message: Buffer,
        extra: str | None = None,
        *,
        route: _Route = "request",
        source: _Address | None = None,
        destination: _Address | None = None,
        rank: int | None = None,
        timeout: float | None = None,
    ) -> Result: ...
    def submit(
        self,
        method: str,
        message: Buffer,
        extra: str | None = None,
        *,
        route: _Route = "request",
        source: _Address | None = None,
        destination: _Address | None = None,
        rank: int | None = None,
        timeout: float | None = None,
        user: object = None,
    ) -> Task:
        """Hands a call to a rank.

        One with a `user` comes back from completions(), once, and a full queue is an OverloadError
        whatever the setting says. Others wait for a place, at most `timeout` seconds.
        """
    def completions(self, max: int, /) -> list[Task]:
        """Ended Tasks that have a user, oldest first, at most 256; also after close().

        Each comes back once, unless it was cancelled before it ended.
        """
    def fileno(self) -> int:
        """A descriptor that is readable while completions wait; the engine's, closed with it."""
    def reload(self, timeout: float, /) -> None: ...
    def look(self, number: int, what: str, snippet: bytes | None, timeout: float, /) -> str: ...
    def open_rank(self, number: int, /) -> Rank: ...
    def stats(
        self, number: int, /
    ) -> tuple[
        int, bool, bool, int, tuple[int, ...], int, int, int, int, int, int, int, int, int, bytes
    ]: ...
    def capsules(self) -> tuple[object, object]:
        """The iso_engine and the log of this engine, for a host in C; good until close()."""
    def close(self) -> int: ...

def version() -> str: ...
def settings() -> list[tuple[str, str, str, str, str, str, int, int, str]]: ...
def check_setting(name: str, text: bytes, /) -> str | None: ...
def check_config(settings: dict[str, str], overrides: tuple[_Override, ...], /) -> str: ...
def settings_of_rank(
    settings: dict[str, str], overrides: tuple[_Override, ...], number: int, /
) -> dict[str, str]: ...
def errors() -> list[tuple[str, int, str]]: ...
def outcomes() -> tuple[str, ...]: ...
def histogram_quantile(histogram: bytes, p: float, /) -> int: ...
def histogram_floors() -> tuple[int, ...]: ...
def script_module() -> Any: ...
def loaded_path() -> str: ...
