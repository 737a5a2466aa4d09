"""The queue between interpreters, the same on every CPython."""

import sys
import time
from typing import Any

from isoexec.interpreters import _backend
from isoexec.interpreters.errors import NotSupportedError, QueueEmpty, QueueError, QueueFull

HAS_SIZES = sys.version_info >= (3, 13)


def create_queue(maxsize: int = 0) -> "Queue":
    """A new queue for objects that can be pickled; without limit if `maxsize` is 0.

    CPython 3.12 has no limit: there any other `maxsize` is a NotSupportedError.
    """
    if maxsize > 0 and not HAS_SIZES:
        raise NotSupportedError(
            "a queue with maxsize needs CPython 3.13: before, count in the program, or use 0"
        )
    if _backend.NATIVE:
        remove = sys.modules[_backend.module.Queue.__module__].UNBOUND_REMOVE
        return Queue(_backend.module.create_queue(maxsize, unbounditems=remove))
    native = _backend.module.create_queue(maxsize)
    if not HAS_SIZES:
        # A channel of 3.12 closes when the last interpreter that used an end of it is closed: so
        # this one has used both.
        native.put(None)
        native.get()
    return Queue(native)


class Queue:
    """A first-in, first-out queue; give it to ``call`` or ``prepare_main``.

    Inside an interpreter it is the queue of the backend, with the same methods. What an
    interpreter has put is lost if it is closed before somebody takes it.
    """

    def __init__(self, native: Any) -> None:
        self._native = native

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return type(self._native), (self.id,)

    def __repr__(self) -> str:
        return f"<Queue {self.id}>"

    @property
    def id(self) -> int:
        """The number of the queue in this process."""
        return int(self._native.id)

    @property
    def maxsize(self) -> int:
        """How many objects it holds, 0 for no limit."""
        return int(self._native.maxsize)

    def put(self, value: object, block: bool = True, timeout: float | None = None) -> None:
        """Adds one object; waits for room if `block` is true, at most `timeout` seconds."""
        try:
            self._native.put(value, block, timeout)
        except _backend.module.QueueFull:
            raise QueueFull(f"queue {self.id} is full") from None
        except QUEUE_ERRORS as error:
            raise QueueError(f"queue {self.id} is gone: {error}") from error

    def put_nowait(self, value: object) -> None:
        """Adds one object, or raises QueueFull at once."""
        self.put(value, block=False)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Takes the oldest object; waits for one if `block` is true, at most `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            try:
                return wrap(self._native.get(block, left))
            except _backend.module.QueueEmpty:
                raise QueueEmpty(f"queue {self.id} is empty") from None
            except QUEUE_ERRORS as error:
                raise QueueError(f"queue {self.id} is gone: {error}") from error
            except TypeError as error:
                # 3.13: the maker of the object is closed, and None came instead of its bytes.
                if _backend.NATIVE or "NoneType" not in str(error):
                    raise

    def get_nowait(self) -> Any:
        """Takes the oldest object, or raises QueueEmpty at once."""
        return self.get(block=False)

    def qsize(self) -> int:
        """How many objects are in it. Needs CPython 3.13."""
        if not HAS_SIZES:
            raise NotSupportedError("the size of a queue needs CPython 3.13: use get_nowait()")
        return int(self._native.qsize())

    def empty(self) -> bool:
        """Whether nothing is in it. Needs CPython 3.13."""
        return self.qsize() == 0

    def full(self) -> bool:
        """Whether ``put`` would wait. Needs CPython 3.13."""
        return 0 < self.maxsize <= self.qsize()


# The base of the errors of the backend's queues, which it does not export itself.
QUEUE_ERRORS: tuple[type[Exception], ...] = (
    sys.modules[_backend.module.Queue.__module__].QueueError,
    sys.modules["_interpqueues"].QueueError
    if HAS_SIZES
    else sys.modules["_xxinterpchannels"].ChannelError,
)


def wrap(value: Any) -> Any:
    """A value from an interpreter: a queue of the backend becomes one of ours."""
    return Queue(value) if isinstance(value, _backend.module.Queue) else value
