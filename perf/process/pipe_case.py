"""The cases of process ranks, a program of its own: a rank and a process behind a pipe, in turn.

Arguments: script, message file, repeats, round trips, paced calls, seconds. One line a sample on
standard output. The process behind the pipe does the least that there is: it receives the octets
and sends one back.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter_ns, sleep

from isoexec import Engine

PAUSE = 0.01  # seconds between paced calls
RANKS = 4


def answer(pipe: Connection) -> None:
    while pipe.recv_bytes():
        pipe.send_bytes(b"1")


def back_to_back(call: Callable[[], object], count: int) -> float:
    begin = perf_counter_ns()
    for _ in range(count):
        call()
    return (perf_counter_ns() - begin) / count


def paced(call: Callable[[], object], count: int) -> float:
    times = []
    for _ in range(count):
        sleep(PAUSE)
        begin = perf_counter_ns()
        call()
        times.append(perf_counter_ns() - begin)
    return median(times)


def compare(script: str, message: bytes, repeats: int, trips: int, paces: int) -> None:
    context = multiprocessing.get_context("spawn")
    pipe, far = context.Pipe()
    process = context.Process(target=answer, args=(far,))
    process.start()

    def over_pipe() -> None:
        pipe.send_bytes(message)
        pipe.recv_bytes()

    with (
        Engine(script, ranks=1, channel="inline", isolation="process") as engine,
        engine.open_rank(1) as rank,
    ):
        sides: dict[str, Callable[[], object]] = {
            "pipe": over_pipe,
            "isoexec": lambda: rank.python_exec("route", message),
        }
        for call in sides.values():
            back_to_back(call, trips // 10 + 1)
        for _ in range(repeats):
            for name, call in sides.items():
                print("back_to_back", name, back_to_back(call, trips), flush=True)
        for _ in range(repeats):
            for name, call in sides.items():
                print("paced", name, paced(call, paces // repeats + 1), flush=True)
    pipe.send_bytes(b"")
    process.join()


def cpu_ns(pids: list[int]) -> float:
    """CPU time of processes, in the kernel's accounting by ns."""
    total = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
    return total


def idle(script: str, message: bytes, seconds: float) -> None:
    """What ranks use that nobody calls, the host's threads included."""
    with Engine(script, ranks=RANKS, isolation="process") as engine:
        for number in range(1, RANKS + 1):
            engine.python_exec("route", message, rank=number)
        pids = [os.getpid(), *(row.pid for row in engine.stats())]
        sleep(0.2)
        before, begin = cpu_ns(pids), time.monotonic()
        sleep(seconds)
        print("idle", "isoexec", (cpu_ns(pids) - before) / (time.monotonic() - begin), flush=True)


def main() -> None:
    script, path, *numbers = sys.argv[1:]
    message = Path(path).read_bytes()
    repeats, trips, paces = map(int, numbers[:3])
    compare(script, message, repeats, trips, paces)
    idle(script, message, float(numbers[3]))


if __name__ == "__main__":
    main()
