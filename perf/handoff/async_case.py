"""The case async, a program of its own: AsyncEngine and two process pools in turn.

Arguments: script, message file, repeats, calls. One line a sample on standard output: the median
time in ns of a call that is awaited alone. The pools run the least that there is, ``len(message)``.
"""

import asyncio
import multiprocessing
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter_ns

from anyio import to_process

from isoexec import AsyncEngine

RANKS = 4


async def time_calls(call: Callable[[], Awaitable[object]], calls: int) -> float:
    times = []
    for _ in range(calls):
        begin = perf_counter_ns()
        await call()
        times.append(perf_counter_ns() - begin)
    return median(times)


async def measure(script: str, message: bytes, repeats: int, calls: int) -> None:
    loop = asyncio.get_running_loop()
    # Not forked: a process with live ranks must not be.
    with ProcessPoolExecutor(RANKS, multiprocessing.get_context("spawn")) as pool:
        async with AsyncEngine(script, ranks=RANKS) as engine:
            sides: dict[str, Callable[[], Awaitable[object]]] = {
                "isoexec": lambda: engine.python_exec("route", message),
                "process_pool": lambda: loop.run_in_executor(pool, len, message),
                "to_process": lambda: to_process.run_sync(len, message),
            }
            for call in sides.values():
                await time_calls(call, calls // 5 + 1)
            for _ in range(repeats):
                for name, call in sides.items():
                    print("async", name, await time_calls(call, calls), flush=True)


def main() -> None:
    script, message, repeats, calls = sys.argv[1:]
    asyncio.run(measure(script, Path(message).read_bytes(), int(repeats), int(calls)))


if __name__ == "__main__":
    main()
