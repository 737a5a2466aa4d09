"""Prints the memory of a program with so many ranks, in MiB.

Arguments: kind (isoexec, isoexec_main, isoexec_process, fork, spawn), load (bare, imports, table),
ranks. A forked worker shares what its parent loaded before; the table is made after the fork, as
child_init would.
"""

import gc
import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import perf.paths  # noqa: F401  before isoexec

IMPORTS = "asyncio, datetime, decimal, hashlib, json, logging, re, sqlite3, ssl, urllib.request"
LOADS = {
    "bare": "pass",
    "imports": f"import {IMPORTS}",
    "table": "global table; table = {str(number): number for number in range(100_000)}",
}
SCRIPT = """
class Handler:
    def child_init(self, rank):
        {load}
        return 0

    def one(self, msg):
        return 1

def mod_init():
    return Handler()
"""


def used(pids: list[int]) -> float:
    """MiB; pages that processes share count in parts."""
    total = 0
    for pid in (os.getpid(), *pids):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(text.split("Pss:")[1].split()[0])
    return total / 1024


def of_isoexec(isolation: str, load: str, ranks: int) -> float:
    from isoexec import Engine

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "handler.py"
        script.write_text(SCRIPT.format(load=LOADS[load]))
        with Engine(script, ranks=ranks, isolation=isolation) as engine:
            for number in range(1, ranks + 1):
                engine.python_exec("one", b"OPTIONS sip:a@b SIP/2.0\r\n\r\n", rank=number)
            gc.collect()
            return used([row.pid for row in engine.stats() if row.pid])


def worker(load: str, ready: Any, end: Any) -> None:
    names: dict[str, object] = {}  # keeps the table
    exec(LOADS[load], names)
    ready.release()
    end.acquire()


def of_processes(method: str, load: str, ranks: int) -> float:
    context: Any = multiprocessing.get_context(method)
    ready, end = context.Semaphore(0), context.Semaphore(0)
    processes = [context.Process(target=worker, args=(load, ready, end)) for _ in range(ranks)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    total = used([process.pid for process in processes])
    for _ in processes:
        end.release()
    for process in processes:
        process.join()
    return total


def main() -> None:
    kind, load, ranks = sys.argv[1], sys.argv[2], int(sys.argv[3])
    levels = {"isoexec": "own_gil", "isoexec_main": "main", "isoexec_process": "process"}
    run = of_isoexec if kind in levels else of_processes
    print(run(levels.get(kind, kind), load, ranks), flush=True)


if __name__ == "__main__":
    main()
