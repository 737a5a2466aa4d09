"""Threads of one interpreter, which share its GIL."""

import asyncio
import queue
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from perf.rivals.rival import Rival
from perf.suite import work

GIL = getattr(sys, "_is_gil_enabled", lambda: True)()


class Threads(Rival):
    name = "threads" if GIL else "threads_no_gil"
    what = "threads that take calls from a queue.SimpleQueue"
    crosses = "thread"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._calls: queue.SimpleQueue[tuple[str, bytes, queue.SimpleQueue[int]] | None] = (
            queue.SimpleQueue()
        )
        self._threads = [threading.Thread(target=self._serve) for _ in range(ranks)]
        self._own = threading.local()
        for thread in self._threads:
            thread.start()

    def _serve(self) -> None:
        while (item := self._calls.get()) is not None:
            method, message, answers = item
            answers.put(work.do(method, message))

    def call(self, method: str, message: bytes) -> int:
        answers: queue.SimpleQueue[int] | None = getattr(self._own, "answers", None)
        if answers is None:
            answers = self._own.answers = queue.SimpleQueue()
        self._calls.put((method, message, answers))
        return answers.get()

    def close(self) -> None:
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            thread.join()


class ThreadPool(Rival):
    name, what, crosses = "thread_pool", "concurrent.futures.ThreadPoolExecutor", "thread"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._pool = ThreadPoolExecutor(ranks)

    def call(self, method: str, message: bytes) -> int:
        return self._pool.submit(work.do, method, message).result()

    def close(self) -> None:
        self._pool.shutdown()


class AsyncioExecutor(ThreadPool):
    name, what = "asyncio_executor", "asyncio's run_in_executor over such a pool"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._runner = asyncio.Runner()

    def series(self, method: str, message: bytes, count: int) -> int:
        async def run() -> int:
            loop = asyncio.get_running_loop()
            return sum(
                [
                    await loop.run_in_executor(self._pool, work.do, method, message)
                    for _ in range(count)
                ]
            )

        return self._runner.run(run())

    def close(self) -> None:
        self._runner.close()
        super().close()


RIVALS = [Threads, ThreadPool, AsyncioExecutor]
