"""A small multi-threaded host: one thread a rank, calls handed to it, logs kept."""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from isoexec import Engine
from support.messages import INVITE

T = TypeVar("T")

LIMIT = 60.0  # seconds; no call of a test takes longer, so a hang is a failure


class RankThread:
    """A thread that opens one rank, and serves it until it is closed."""

    def __init__(self, engine: Engine, number: int) -> None:
        self.engine = engine
        self.number = number
        self.ident = 0
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[Any], Any]] | None] = (
            queue.SimpleQueue()
        )
        self._opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._serve, name=f"rank-{number}")
        self._thread.start()
        try:
            self._opened.result(LIMIT)
        except BaseException:
            self._thread.join(LIMIT)
            raise

    def _serve(self) -> None:
        self.ident = threading.get_ident()
        try:
            with self.engine.open_rank(self.number) as rank:
                self._opened.set_result(None)
                while (job := self._jobs.get()) is not None:
                    answer, work = job
                    try:
                        answer.set_result(work(rank))
                    except BaseException as error:  # carried to the thread that asked
                        answer.set_exception(error)
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    def submit(self, work: Callable[[Any], T]) -> "Future[T]":
        """Runs work(rank) on the rank's thread."""
        answer: Future[T] = Future()
        self._jobs.put((answer, work))
        return answer

    def run(self, work: Callable[[Any], T]) -> T:
        return self.submit(work).result(LIMIT)

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), "the rank did not close"


class Records(logging.Handler):
    """Keeps what the engine and its scripts log."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def texts(self, level: int | None = None, rank: int | None = None) -> list[str]:
        return [
            record.getMessage()
            for record in list(self.records)
            if (level is None or record.levelno == level)
            and (rank is None or getattr(record, "rank", None) == rank)
        ]

    def wait(self, text: str, **which: int) -> str:
        """The first line that holds `text`; lines reach logging a little after the call."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [line for line in self.texts(**which) if text in line]
            return bool(found)

        assert wait_until(look), f"no log line holds {text!r}; there are {self.texts()}"
        return found[0]


@contextlib.contextmanager
def recorded() -> Iterator[Records]:
    logger = logging.getLogger("isoexec")
    records, level = Records(), logger.level
    logger.addHandler(records)
    logger.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        logger.setLevel(level)
        logger.removeHandler(records)


class Host:
    """An engine with its ranks open, as a context manager."""

    def __init__(self, script: str | Path, ranks: int | Iterable[int] = 1, **settings: Any) -> None:
        numbers = list(range(1, ranks + 1)) if isinstance(ranks, int) else list(ranks)
        self._stack = contextlib.ExitStack()
        with self._stack:
            self.log = self._stack.enter_context(recorded())
            self.engine = self._stack.enter_context(
                Engine(str(script), ranks=max(numbers), **inline(settings))
            )
            self.ranks: dict[int, RankThread] = {}
            for number in numbers:
                self.ranks[number] = RankThread(self.engine, number)
                self._stack.callback(self.ranks[number].close)
            self._stack = self._stack.pop_all()

    def __enter__(self) -> "Host":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def call(self, method: str, message: bytes = INVITE, *, rank: int = 1, **options: Any) -> Any:
        """Runs a method with one message in a rank, and returns its result."""
        return self.ranks[rank].run(lambda opened: opened.python_exec(method, message, **options))

    def each(self, method: str, message: bytes = INVITE, **options: Any) -> list[Any]:
        """The same in every rank at once; the results in the order of the ranks."""
        answers = [
            rank.submit(lambda opened: opened.python_exec(method, message, **options))
            for rank in self.ranks.values()
        ]
        return [answer.result(LIMIT) for answer in answers]


level = "own_gil"  # of the ranks of every Host; the option --level changes it


def inline(settings: dict[str, Any]) -> dict[str, Any]:
    return {"channel": "inline", "isolation": level, **settings}


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether the condition came true; the time is a limit for a failure, never a measure."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return condition()
