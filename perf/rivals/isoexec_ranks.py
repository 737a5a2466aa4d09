"""isoexec itself: each isolation level on the caller's thread, and the queue channel."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from isoexec import Engine
from perf.rivals.rival import Call, Rival

HANDLER = Path(__file__).resolve().parent.parent / "suite" / "handler.py"


class Inline(Rival):
    name, what = "isoexec", "a rank with its own GIL, on the caller's thread"
    crosses = "interpreter"
    isolation: ClassVar[str] = "own_gil"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._engine = Engine(HANDLER, ranks=ranks, channel="inline", isolation=self.isolation)
        self._own = ExitStack()
        self._call: Call | None = None

    @contextmanager
    def caller(self, number: int) -> Iterator[Call]:
        with self._engine.open_rank(number) as rank:
            run = rank.python_exec
            yield lambda method, message: run(method, message).code

    def call(self, method: str, message: bytes) -> int:
        if self._call is None:
            self._call = self._own.enter_context(self.caller(1))
        return self._call(method, message)

    def pids(self) -> list[int]:
        return [row.pid for row in self._engine.stats() if row.pid]

    def close(self) -> None:
        self._own.close()
        self._engine.close()


class MainLevel(Inline):
    name, what, crosses = "isoexec_main", "a rank in the main interpreter", "nothing"
    isolation = "main"


class ProcessLevel(Inline):
    name, what, crosses = "isoexec_process", "a rank in a process of its own", "process"
    isolation = "process"


class QueueChannel(Rival):
    name, what, crosses = "isoexec_queue", "a rank with a thread of its own", "interpreter"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._engine = Engine(HANDLER, ranks=ranks)

    def call(self, method: str, message: bytes) -> int:
        return self._engine.python_exec(method, message).code

    def close(self) -> None:
        self._engine.close()


RIVALS = [Inline, MainLevel, ProcessLevel, QueueChannel]
