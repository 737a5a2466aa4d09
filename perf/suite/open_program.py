"""Opens eight ranks with ten modules of the library each, and prints how many seconds that took.

Argument: "together", each on a thread of its own; or "alone": eight times what one takes while no
other is opened, divided by the cores, the least that eight can take. A ninth is there before.
"""

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import perf.paths  # noqa: F401  before isoexec
from isoexec import Engine
from perf.suite import work
from perf.suite.memory_program import IMPORTS

RANKS = 8
SCRIPT = f"""
import {IMPORTS}

class Handler:
    def child_init(self, rank):
        return 0

    def route(self, msg):
        return 1

def mod_init():
    return Handler()
"""


def open_ranks(engine: Engine, first: int, count: int, done: threading.Event) -> float:
    """Seconds until so many ranks have answered once; each stays with its thread until the end."""
    answered = threading.Barrier(count + 1)

    def serve(number: int) -> None:
        with engine.open_rank(number) as rank:
            assert rank.python_exec("route", work.MESSAGE).code == 1
            answered.wait()
            done.wait()

    begin = time.perf_counter()
    for number in range(first, first + count):
        threading.Thread(target=serve, args=(number,)).start()
    answered.wait(60)
    return time.perf_counter() - begin


def main() -> None:
    done = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "imports.py"
        script.write_text(SCRIPT)
        engine = Engine(script, ranks=1 + RANKS, channel="inline")
        open_ranks(engine, 1, 1, done)
        if sys.argv[1] == "together":
            seconds = open_ranks(engine, 2, RANKS, done)
        else:
            each = [open_ranks(engine, number, 1, done) for number in range(2, 2 + RANKS)]
            seconds = RANKS * median(each) / min(RANKS, len(os.sched_getaffinity(0)))
    print(seconds, flush=True)
    os._exit(0)  # how they end is no part of it


if __name__ == "__main__":
    main()
