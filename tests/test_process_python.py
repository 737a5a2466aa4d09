"""Python hosts in processes of their own: however they end, the exit code is theirs."""

import signal
import sys
from pathlib import Path

import pytest

from support.run import run, run_python
from support.scripts import STDLIB, ending_tests

# The host: an engine over STDLIB, and `serve`, which opens a rank and calls it.
PROLOGUE = """
import os, sys, threading
from isoexec import Engine, errors
from support.messages import OPTIONS

def serve(engine, number, calls=10):
    with engine.open_rank(number) as rank:
        assert rank.python_exec("once", OPTIONS).code == 1
        assert all(rank.python_exec("go", OPTIONS).code == 1 for _ in range(calls))

def start(target, *arguments):
    thread = threading.Thread(target=target, args=arguments)
    thread.start()
    return thread

def join(threads):
    for thread in list(threads):
        thread.join()

def new(script="handler.py"):
    return Engine(script, ranks=8, channel="inline", grace=1)

kept = []
def keep(engine):
    kept.append(engine.open_rank(1))

def drop(engine):
    engine.open_rank(1)

def idle_daemon(engine):
    ready = threading.Event()
    def idle():
        with engine.open_rank(1):
            ready.set()
            threading.Event().wait()
    threading.Thread(target=idle, daemon=True).start()
    ready.wait()
"""

# What the host does, and the exit code that it must have.
ENDINGS = {
    "all in order": (0, "with new() as engine: serve(engine, 1)"),
    "no close of the engine": (0, "engine = new(); serve(engine, 1)"),
    "no close of the rank": (0, "rank = new().open_rank(1); rank.python_exec('go', OPTIONS)"),
    "exit code": (3, "engine = new(); rank = engine.open_rank(1); sys.exit(3)"),
    "exit in a with": (3, "with new() as engine, engine.open_rank(1): sys.exit(3)"),
    "exception": (1, "engine = new(); rank = engine.open_rank(1); raise LookupError"),
    "os._exit": (5, "engine = new(); rank = engine.open_rank(1); os._exit(5)"),
    "thread ended, rank open": (4, "engine = new(); start(keep, engine).join(); sys.exit(4)"),
    "thread ended, rank dropped": (4, "engine = new(); start(drop, engine).join(); sys.exit(4)"),
    "thread ended, engine closed": (
        4,
        "with new() as engine: start(keep, engine).join()\nsys.exit(4)",
    ),
    "daemon thread in a rank": (6, "engine = new(); idle_daemon(engine); sys.exit(6)"),
    "8 ranks": (0, "with new() as engine: join(start(serve, engine, n) for n in range(1, 9))"),
    "many engines": (2, "for _ in range(4):\n    with new() as e: serve(e, 1)\nsys.exit(2)"),
    "two engines": (0, "with new() as a, new() as b: join(start(serve, e, 1) for e in (a, b))"),
    "an engine without ranks": (7, "engine = new(); sys.exit(7)"),
    "a broken script": (
        8,
        "try: new('absent.py').open_rank(1)\nexcept errors.IsoexecError: sys.exit(8)",
    ),
    "not caught": (1, "new('absent.py').open_rank(1)"),
}


@pytest.mark.parametrize(("code", "text"), ENDINGS.values(), ids=ENDINGS.keys())
def test_the_exit_code_is_the_hosts_own(code: int, text: str, tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(STDLIB, encoding="utf-8")
    ended = run_python(PROLOGUE + text, tmp_path).expect(code)
    assert "Fatal Python error" not in ended.err


@ending_tests
def test_many_modules_of_the_library(tmp_path: Path, calls: int) -> None:
    """8 ranks import widely at once, run, and stop with exit code 0."""
    (tmp_path / "handler.py").write_text(STDLIB, encoding="utf-8")
    text = (
        "with Engine('handler.py', ranks=8, channel='inline') as engine:\n"
        f"    for t in [start(serve, engine, n, {calls // 8}) for n in range(1, 9)]: t.join()\n"
        "print('done')\n"
    )
    ended = run_python(PROLOGUE + text, tmp_path, limit=180).expect()
    assert ended.out == "done\n"


INNER = """
from isoexec import Engine
from support.messages import OPTIONS

def test_inner():
    with Engine("handler.py", ranks=1, channel="inline") as engine, engine.open_rank(1) as rank:
        assert rank.python_exec("once", OPTIONS).code == 1
        assert {wanted}
"""


@pytest.mark.parametrize(("wanted", "code"), [("True", 0), ("False", 1)])
def test_pytest_ends_with_its_own_exit_code(tmp_path: Path, wanted: str, code: int) -> None:
    (tmp_path / "handler.py").write_text(STDLIB, encoding="utf-8")
    (tmp_path / "test_inner.py").write_text(INNER.format(wanted=wanted), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
    ]
    ended = run([*command, "test_inner.py"], cwd=tmp_path).expect(code)
    assert f"1 {'passed' if code == 0 else 'failed'}" in ended.out


def test_a_signal_stops_a_host_with_busy_ranks(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def go(self, msg): return sum(range(200_000)) and 1\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    text = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job starts with it ignored
stop = threading.Event()
def burn(number):
    with engine.open_rank(number) as rank:
        while not stop.is_set():
            rank.python_exec("go", OPTIONS)
engine = Engine("handler.py", ranks=2, channel="inline")
threads = [start(burn, number) for number in (1, 2)]
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    stop.set()
for thread in threads:
    thread.join()
engine.close()
sys.exit(9)
"""
    run_python(PROLOGUE + text, tmp_path).expect(9)


def test_start_while_main_waits_in_a_call(tmp_path: Path) -> None:
    """Ranks import an extension for the first time while the main thread is inside a call."""
    (tmp_path / "handler.py").write_text(
        "import threading, time\n"
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def wait(self, msg):\n"
        "        time.sleep(0.3)\n"
        "        return 1\n"
        "    def late(self, msg):\n"
        "        import random, _queue, _csv\n"
        "        return 1\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    text = """
def late(number):
    with engine.open_rank(number) as rank:
        codes.append(rank.python_exec("late", OPTIONS).code)
codes = []
engine = Engine("handler.py", ranks=4, channel="inline")
with engine.open_rank(1) as rank:
    threads = [start(late, number) for number in (2, 3, 4)]
    codes.append(rank.python_exec("wait", OPTIONS).code)
    for thread in threads:
        thread.join()
assert codes == [1] * 4, codes
"""
    run_python(PROLOGUE + text, tmp_path).expect()


@pytest.mark.parametrize("level", ["own_gil", "main"])
def test_the_hosts_handler_of_crashes_is_told(tmp_path: Path, level: str) -> None:
    """A thread of the engine leaves signals to the host, but not those of its own faults."""
    (tmp_path / "handler.py").write_text(
        "import mmap\n"
        "class Handler:\n"
        "    def child_init(self, rank):\n"
        "        return 0\n"
        "    def crash(self, msg):\n"
        "        mmap.mmap(-1, mmap.PAGESIZE, prot=0)[0]\n"
        "def mod_init():\n"
        "    return Handler()\n"
    )
    text = PROLOGUE + (
        "import faulthandler\n"
        "faulthandler.enable()\n"
        f"Engine('handler.py', isolation={level!r}).python_exec('crash', OPTIONS)\n"
    )
    ended = run_python(text, tmp_path).expect(-signal.SIGSEGV)
    assert "Segmentation fault" in ended.err
