"""What a rival is to the cases."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

type Call = Callable[[str, bytes], int]


class Rival:
    """`ranks` workers of one kind that do the work of perf.suite.work.

    :cvar crosses: what lies between caller and handler: nothing, thread, interpreter or process.
    :cvar single: it has one worker, whatever is asked for.
    """

    name: ClassVar[str]
    what: ClassVar[str]
    crosses: ClassVar[str]
    single: ClassVar[bool] = False

    def __init__(self, ranks: int = 1) -> None:
        self.ranks = ranks

    @classmethod
    def available(cls) -> bool:
        """Whether this CPython has it."""
        return True

    def call(self, method: str, message: bytes) -> int:
        """One call, from the thread that made the rival."""
        raise NotImplementedError

    def series(self, method: str, message: bytes, count: int) -> int:
        """Calls one after another; the sum of their answers."""
        call = self.call
        return sum([call(method, message) for _ in range(count)])

    @contextmanager
    def caller(self, number: int) -> Iterator[Call]:
        """For one of many threads that call at once, numbered from 1: entered and used on it."""
        yield self.call

    def pids(self) -> list[int]:
        """Processes besides this one."""
        return []

    def close(self) -> None:
        pass

    def __enter__(self) -> "Rival":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
