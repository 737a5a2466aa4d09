"""Processes of multiprocessing."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, ClassVar

from perf.rivals.rival import Call, Rival
from perf.suite import servers, work

SPAWN = multiprocessing.get_context("spawn")  # fork of a process with threads is no comparison


class OneEnd(Rival):
    """A process a rank, each at the far end of a connection that is closed to end it."""

    crosses = "process"
    serve: ClassVar[Callable[..., None]]

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._ends: list[Any] = []
        self._processes: list[Any] = []
        for _ in range(ranks):
            near, far = self.connect()
            process = SPAWN.Process(target=type(self).serve, args=(far,))
            process.start()
            far.close()
            self._ends.append(near)
            self._processes.append(process)

    @staticmethod
    def connect() -> tuple[Any, Any]:
        raise NotImplementedError

    @staticmethod
    def over(end: Any, method: str, message: bytes) -> int:
        """A call by this connection."""
        raise NotImplementedError

    def call(self, method: str, message: bytes) -> int:
        return self.over(self._ends[0], method, message)

    @contextmanager
    def caller(self, number: int) -> Iterator[Call]:
        yield partial(self.over, self._ends[number - 1])

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def close(self) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join()


class Pipe(OneEnd):
    name, what = "mp_pipe", "a multiprocessing.Pipe to a process"
    serve = servers.serve_pipe

    @staticmethod
    def connect() -> tuple[Any, Any]:
        return SPAWN.Pipe()

    @staticmethod
    def over(end: Any, method: str, message: bytes) -> int:
        end.send((method, message))
        answer: int = end.recv()
        return answer


class Queue(Rival):
    name, what, crosses = "mp_queue", "two multiprocessing.Queue to a process", "process"
    single = True

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(1)
        self._calls, self._answers = SPAWN.Queue(), SPAWN.Queue()
        self._process = SPAWN.Process(target=servers.serve_queue, args=(self._calls, self._answers))
        self._process.start()

    def call(self, method: str, message: bytes) -> int:
        self._calls.put((method, message))
        answer: int = self._answers.get()
        return answer

    def pids(self) -> list[int]:
        return [self._process.pid] if self._process.pid else []

    def close(self) -> None:
        self._calls.put(None)
        self._process.join()


class Pool(Rival):
    name, what, crosses = "process_pool", "concurrent.futures.ProcessPoolExecutor", "process"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._pool = ProcessPoolExecutor(ranks, SPAWN)

    def call(self, method: str, message: bytes) -> int:
        return self._pool.submit(work.do, method, message).result()

    def pids(self) -> list[int]:
        return list(self._pool._processes)

    def close(self) -> None:
        self._pool.shutdown()


RIVALS = [Pipe, Queue, Pool]
