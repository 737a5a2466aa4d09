"""What the tests of queue ranks share: their script, a gate that holds a rank, calls in bulk."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from isoexec import errors
from support.host import LIMIT, wait_until
from support.messages import INVITE

BASIC = str(Path(__file__).resolve().parent.parent / "handlers" / "queue_basic.py")


class Gate:
    """A host function that keeps its rank until the test opens it."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.entered = 0

    def __call__(self, call: Any) -> int:
        self.entered += 1
        assert self._open.wait(LIMIT)
        return 1

    def open(self) -> None:
        self._open.set()

    def wait(self, count: int = 1) -> None:
        """Until so many calls are held."""
        assert wait_until(lambda: self.entered >= count), f"{self.entered} calls are in the gate"


class Passes:
    """A host function that makes a call: `pass RANK METHOD [EXTRA...]`, rank 0 for any.

    It answers what that call answered, or -100 if it was not made; the error's code is kept.
    """

    def __init__(self) -> None:
        self.engine: Any = None
        self.refusals: list[str] = []

    def __call__(self, call: Any, rank: str, method: str, *extra: str) -> int:
        try:
            result = self.engine.python_exec(
                method, INVITE, " ".join(extra) or None, rank=int(rank) or None, timeout=LIMIT
            )
        except errors.IsoexecError as error:
            self.refusals.append(error.code)
            return -100
        return int(result.code)


def in_threads(count: int, work: Callable[[int], Any], jobs: Iterable[int]) -> list[Any]:
    """work(job) of each job on `count` threads; the results in the order of the jobs."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(work, jobs))


def cpu_seconds() -> float:
    """CPU time of the whole process."""
    times = os.times()
    return times.user + times.system


def resident() -> int:
    """Memory of the process in octets."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
