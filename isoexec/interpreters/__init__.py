"""PEP 734 interpreters for Python programs, with one API on CPython 3.12 to 3.15.

Each interpreter has a GIL of its own, so calls on several threads run in parallel::

    from isoexec import interpreters

    with interpreters.create() as interpreter:
        interpreter.exec("total = 6 * 7")
        interpreter.call(pow, 2, 10)

On 3.14 and newer this is ``concurrent.interpreters``, before it needs a package
(``pip install isoexec[interpreters]``). For SIP handler scripts :class:`isoexec.Engine` is faster
and keeps more rules; docs/interpreters.md compares the two. Importing this starts nothing.
"""

import importlib
import marshal
import sys
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from isoexec.interpreters import _backend, _calls, _exit
from isoexec.interpreters._backend import ERRORS, NATIVE, Backend, backend, translate
from isoexec.interpreters._queues import HAS_SIZES, Queue, create_queue, wrap
from isoexec.interpreters.errors import (
    ExecutionFailed,
    InterpreterError,
    InterpreterNotFoundError,
    NotShareableError,
    NotSupportedError,
    QueueEmpty,
    QueueError,
    QueueFull,
)

__all__ = [
    "Backend",
    "ExecutionFailed",
    "Interpreter",
    "InterpreterError",
    "InterpreterNotFoundError",
    "NotShareableError",
    "NotSupportedError",
    "Queue",
    "QueueEmpty",
    "QueueError",
    "QueueFull",
    "available",
    "backend",
    "create",
    "create_queue",
    "get_current",
    "get_main",
    "has_queue_sizes",
    "has_queues",
    "is_shareable",
    "list_all",
    "preload",
]

available = True
"""Always true: where interpreters can not be had, importing this raises ImportError."""
has_queues = True
"""Whether there are queues: true with every backend that is supported now."""
has_queue_sizes = HAS_SIZES
"""Whether queues have ``qsize`` and a ``maxsize``: from CPython 3.13."""

# Before 3.14 the static types of some extension modules are set up by whoever imports them first,
# and two interpreters that do so at once corrupt memory (gh-136421, gh-117953). What main has
# loaded before is safe.
PRELOAD = """
datetime decimal zoneinfo _datetime _decimal _zoneinfo pyexpat _elementtree _ctypes _lsprof
_asyncio _bisect _bz2 _contextvars _csv _hashlib _heapq _json _lzma _pickle _posixsubprocess _queue
_random _socket _sqlite3 _ssl _statistics _struct _uuid array binascii math mmap select
unicodedata zlib hashlib
""".split()

# 3.12: these are refused only after their init has run, so they are blocked: their pure-Python
# twins serve (datetime, decimal, zoneinfo), or the import fails cleanly.
BLOCKED = """
_datetime _zoneinfo _decimal _elementtree pyexpat _ctypes _lsprof readline _curses _curses_panel
_tkinter faulthandler nis ossaudiodev
""".split()

# One at a time (CPython before 3.13 races on static tables). Re-entrant: the garbage collector may
# end an interpreter while its thread makes one.
_lifecycle = threading.RLock()
_known: "weakref.WeakValueDictionary[int, Interpreter]" = weakref.WeakValueDictionary()
_preloaded = False


class _Handle:
    """One interpreter that was made here; outlives its Interpreter until it is ended."""

    def __init__(self, native: Any) -> None:
        self.native = native
        self.id = int(native.id)

    def is_running(self) -> bool:
        return bool(self.native.is_running())

    def end(self) -> None:
        if _exit.open_interpreters.pop(self.id, None) is None:
            raise InterpreterNotFoundError("the interpreter is closed")
        try:
            self.native.exec("import sys; sys.modules['_isoexec_runner'].finish()")
        except ERRORS as error:
            translated = translate(error)
            if not isinstance(translated, ExecutionFailed):  # the end itself does the rest
                _exit.open_interpreters[self.id] = self
                raise translated from error
        with _lifecycle:
            try:
                self.native.close()
            except ERRORS as error:
                raise translate(error) from error


class Interpreter:
    """One interpreter of this process. Made by :func:`create`, or found by :func:`list_all`.

    It may be used from any thread, by one at a time. When the last reference goes, it is closed.
    One that something else has made (a rank, the main interpreter) can only be looked at.
    """

    def __init__(self, native: Any, handle: _Handle | None = None) -> None:
        self._native = native
        self._handle = handle
        self._id = int(native.id)
        if handle is not None:
            weakref.finalize(self, _end_dropped, handle).atexit = False
        _known[self._id] = self

    @property
    def id(self) -> int:
        """Its number in this process, which is never used twice."""
        return self._id

    def __repr__(self) -> str:
        return f"<Interpreter {self._id}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._id in _exit.open_interpreters:
            self.close()

    def is_running(self) -> bool:
        """Whether code runs in its ``__main__`` now. InterpreterNotFoundError if it is closed."""
        try:
            if self._handle is not None:
                self._own()
            return bool(self._native.is_running())
        except ERRORS as error:
            raise translate(error) from error

    def exec(self, code: str, /) -> None:
        """Runs source code in its ``__main__``; what it leaves there stays for the next call.

        Code that does not compile is a SyntaxError here; code that raises is ExecutionFailed.
        """
        if not isinstance(code, str):
            raise TypeError(f"exec() needs source code as str, not {type(code).__name__}")
        compile(code, "<script>", "exec", dont_inherit=True)
        native = self._own()
        if not NATIVE:
            self._cross(_calls.pack_own("exec", code))
            return
        try:
            native.exec(code)
        except ERRORS as error:
            raise translate(error) from None

    def call[**P, R](self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls a function there and gives what it returned.

        A function without closure, defaults and globals goes as its code. Any other callable,
        the arguments and the result go by pickle, else NotShareableError. What it raises,
        SystemExit too, is ExecutionFailed.
        """
        native = self._own()
        if not NATIVE:
            return wrap(self._cross(_calls.pack_call(function, args, kwargs)))  # type: ignore[no-any-return]
        try:
            return wrap(native.call(function, *args, **kwargs))  # type: ignore[no-any-return]
        except ERRORS as error:
            raise translate(error) from None

    def call_in_thread[**P](
        self, function: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs
    ) -> threading.Thread:
        """Starts a thread that does ``call``. What it raises goes to ``threading.excepthook``."""
        self._own()
        thread = threading.Thread(target=self.call, args=(function, *args), kwargs=kwargs)
        thread.start()
        return thread

    def prepare_main(self, values: Mapping[str, object] | None = None, /, **more: object) -> None:
        """Sets names in its ``__main__``. The values must be shareable (:func:`is_shareable`)."""
        names = {**(values or {}), **more}
        for name, value in names.items():
            if not is_shareable(value):
                raise NotShareableError(
                    f"{name}: {type(value).__name__} is not shareable; give it to call()"
                )
        native = self._own()
        if not NATIVE:
            self._cross(_calls.pack_own("bind", names))
            return
        try:
            native.prepare_main({name: _unwrap(value) for name, value in names.items()})
        except ERRORS as error:
            raise translate(error) from error

    def close(self) -> None:
        """Ends it, after its threads have ended. InterpreterError while it runs."""
        self._own()
        assert self._handle is not None
        if self._handle.is_running():
            raise InterpreterError(f"interpreter {self._id} is running")
        self._handle.end()

    def _own(self) -> Any:
        """The backend's interpreter, if it may be used."""
        if self._handle is None:
            raise InterpreterError(
                f"interpreter {self._id} was not made by isoexec.interpreters: only look at it"
            )
        if self._id not in _exit.open_interpreters:
            raise InterpreterNotFoundError(f"interpreter {self._id} is closed")
        return self._native

    def _cross(self, payload: bytes) -> Any:
        try:
            answer = self._native.call(_calls.trampoline, payload)
        except ERRORS as error:
            raise translate(error) from None
        return _calls.unpack(answer)


def create() -> Interpreter:
    """A new interpreter with its own GIL and the import path of this one."""
    if not NATIVE:
        _preload_once()
    with _lifecycle:
        try:
            native = _backend.module.create()
            handle = _Handle(native)
            _exit.note_made(handle)
            native.exec(_start_code())
        except ERRORS as error:
            raise translate(error) from error
        return Interpreter(native, handle)


def list_all() -> list[Interpreter]:
    """Every interpreter of the process, the main one and the ranks of engines too."""
    return [_existing(native) for native in _backend.module.list_all()]


def get_current() -> Interpreter:
    """The interpreter that runs this code."""
    return _existing(_backend.module.get_current())


def get_main() -> Interpreter:
    """The main interpreter of the process."""
    return _existing(_backend.module.get_main())


def is_shareable(value: object) -> bool:
    """Whether ``prepare_main`` takes it: None, bool, a 64-bit int, float, str, bytes, Queue, or a
    tuple of these; a memoryview from CPython 3.14.
    """
    kind = type(value)
    if kind is tuple:
        return all(is_shareable(item) for item in value)  # type: ignore[attr-defined]
    if kind is int:
        return -(2**63) <= value < 2**63  # type: ignore[operator]
    if kind is memoryview:
        return NATIVE
    return value is None or kind in (bool, float, str, bytes, Queue)


def preload(*names: str) -> tuple[str, ...]:
    """Imports in this interpreter, the main one, what must be loaded here before it is there.

    :func:`create` does it for the standard library; name C extensions of other packages that
    interpreters will import. Nothing else is needed from CPython 3.14.

    :return: the modules that are loaded now.
    """
    loaded = []
    for name in (*(() if NATIVE else PRELOAD), *names):
        try:
            importlib.import_module(name)
        except ImportError:
            if name in names:
                raise
        else:
            loaded.append(name)
    return tuple(loaded)


def _preload_once() -> None:
    global _preloaded
    if not _preloaded:
        preload()
        _preloaded = True


def _start_code() -> str:
    """What a new interpreter runs first: makes the module _isoexec_runner from its code."""
    blocked = BLOCKED if sys.version_info < (3, 13) else []
    path = [entry for entry in sys.path if isinstance(entry, str)]
    absent = [name for name in sys.modules if name.partition(".")[0] == "isoexec"]
    return (
        "def start():\n"
        " import marshal, sys, types\n"
        " module = sys.modules['_isoexec_runner'] = types.ModuleType('_isoexec_runner')\n"
        f" exec(marshal.loads({_runner_code()!r}), vars(module))\n"
        f" module.set_up({path!r}, {blocked!r}, {absent!r})\n"
        "start()\n"
        "del start\n"
    )


_runner_octets = b""


def _runner_code() -> bytes:
    global _runner_octets
    if not _runner_octets:
        source = Path(__file__).with_name("_runner.py").read_text(encoding="utf-8")
        _runner_octets = marshal.dumps(compile(source, "<isoexec interpreters>", "exec"))
    return _runner_octets


def _existing(native: Any) -> Interpreter:
    return _known.get(int(native.id)) or Interpreter(native)


def _unwrap(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(_unwrap(item) for item in value)
    return value._native if isinstance(value, Queue) else value


def _end_dropped(handle: _Handle) -> None:
    """The last reference is gone, so nothing runs in it."""
    if handle.id in _exit.open_interpreters:
        handle.end()
