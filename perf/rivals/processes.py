"""Processes of multiprocessing."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from perf.rivals.rival import Call, Rival
from perf.suite import servers, work

SPAWN = multiprocessing.get_context("spawn")  # fork of a process with threads is no comparison


class Pipe(Rival):
    name, what, crosses = "mp_pipe", "a multiprocessing.Pipe to a process", "process"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        for _ in range(ranks):
            near, far = SPAWN.Pipe()
            process = SPAWN.Process(target=servers.serve_pipe, args=(far,))
            process.start()
            self._pipes.append(near)
            self._processes.append(process)

    def _over(self, pipe: Connection) -> Call:
        def call(method: str, message: bytes) -> int:
            pipe.send((method, message))
            answer: int = pipe.recv()
            return answer

        return call

    def call(self, method: str, message: bytes) -> int:
        return self._over(self._pipes[0])(method, message)

    @contextmanager
    def caller(self, number: int) -> Iterator[Call]:
        yield self._over(self._pipes[number - 1])

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for process in self._processes:
            process.join()


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
