"""PEP 734 interpreters: through isoexec.interpreters, and what CPython 3.14 brings itself."""

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from perf.paths import CHECKOUT
from perf.rivals.rival import Call, Rival
from perf.suite import work

FIND = f"import sys; sys.path.append({str(CHECKOUT)!r})"  # for perf.suite.work


def _interpreters() -> Any:
    """ImportError: before 3.14 it needs a package."""
    return importlib.import_module("isoexec.interpreters")


def _have_interpreters() -> bool:
    try:
        return bool(_interpreters().available)
    except ImportError:
        return False


class InterpreterCall(Rival):
    name, what, crosses = "pep734_call", "Interpreter.call of isoexec.interpreters", "interpreter"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._interpreters = [_interpreters().create() for _ in range(ranks)]
        for interpreter in self._interpreters:
            interpreter.exec(FIND)

    @classmethod
    def available(cls) -> bool:
        return _have_interpreters()

    def call(self, method: str, message: bytes) -> int:
        answer: int = self._interpreters[0].call(work.do, method, message)
        return answer

    @contextmanager
    def caller(self, number: int) -> Iterator[Call]:
        own = self._interpreters[number - 1]
        yield lambda method, message: own.call(work.do, method, message)

    def close(self) -> None:
        for interpreter in self._interpreters:
            interpreter.close()


SERVE = """
from perf.suite import work
while True:
    item = calls.get()
    if item is None:
        break
    answers.put(work.do(*item))
"""


class InterpreterQueue(Rival):
    name, what = "pep734_queue", "queues of isoexec.interpreters to a thread with an interpreter"
    crosses = "interpreter"
    single = True

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(1)
        interpreters = _interpreters()
        self._calls, self._answers = interpreters.create_queue(), interpreters.create_queue()
        self._interpreter = interpreters.create()
        self._interpreter.prepare_main(calls=self._calls, answers=self._answers)
        self._interpreter.exec(FIND)
        self._thread = threading.Thread(target=self._interpreter.exec, args=(SERVE,))
        self._thread.start()

    @classmethod
    def available(cls) -> bool:
        return _have_interpreters()

    def call(self, method: str, message: bytes) -> int:
        self._calls.put((method, message))
        answer: int = self._answers.get()
        return answer

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join()
        self._interpreter.close()


class InterpreterPool(Rival):
    name, what = "interpreter_pool", "concurrent.futures.InterpreterPoolExecutor (3.14)"
    crosses = "interpreter"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        futures: Any = importlib.import_module("concurrent.futures")
        self._pool = futures.InterpreterPoolExecutor(ranks, initializer=exec, initargs=(FIND,))

    @classmethod
    def available(cls) -> bool:
        return sys.version_info >= (3, 14)

    def call(self, method: str, message: bytes) -> int:
        answer: int = self._pool.submit(work.do, method, message).result()
        return answer

    def close(self) -> None:
        self._pool.shutdown()


RIVALS = [InterpreterCall, InterpreterQueue, InterpreterPool]
