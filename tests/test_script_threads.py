"""Threads that a script starts: they run while the rank is idle, and a stop waits for them."""

from pathlib import Path

import pytest

from support.host import Host, wait_until
from support.messages import INVITE
from support.run import run_python

TICKER = """
import threading

class H:
    def child_init(self, rank):
        self.ticks, self.end = 0, threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return 0

    def work(self):
        while not self.end.wait(0.001):
            self.ticks += 1

    def ticks_now(self, msg):
        return self.ticks

    def stop(self, msg):
        self.end.set()
        self.thread.join()
        return 1

    def child_exit(self, rank):
        self.end.set()

    def daemon(self, msg):
        try:
            threading.Thread(target=print, daemon=True).start()
        except RuntimeError as error:
            return 1 if "allow_daemon_threads" in str(error) else -1
        return 2

    def listener(self, msg):
        import logging.handlers, queue
        logging.handlers.QueueListener(queue.Queue()).start()
        return 2

    def pool(self, msg):
        from concurrent.futures import ThreadPoolExecutor
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(int, ("1", "2", "3")))

    def local(self, msg):
        import threading
        store = globals().setdefault("STORE", threading.local())
        store.n = getattr(store, "n", 0) + 1
        return store.n

    def loop(self, msg):
        import asyncio
        async def work():
            await asyncio.sleep(0)
            return await asyncio.to_thread(lambda: 5)
        return asyncio.run(work())

def mod_init():
    return H()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "ticker.py"
    path.write_text(TICKER, encoding="utf-8")
    return path


def test_a_thread_runs_while_the_rank_is_idle(script: Path) -> None:
    with Host(script) as host:
        before = host.call("ticks_now").code
        assert wait_until(lambda: host.call("ticks_now").code > before + 5)
        assert host.call("stop").code == 1


def test_a_thread_runs_while_calls_come_in(script: Path) -> None:
    with Host(script) as host:

        def work(rank: object) -> bool:
            first = rank.python_exec("ticks_now", INVITE).code  # type: ignore[attr-defined]
            return wait_until(lambda: rank.python_exec("ticks_now", INVITE).code > first + 5)  # type: ignore[attr-defined]

        assert host.ranks[1].run(work)
        assert host.call("stop").code == 1


def test_a_stop_joins_a_thread_that_ends(script: Path) -> None:
    with Host(script, 2) as host:
        assert [result.code for result in host.each("stop")] == [1, 1]


def test_a_daemon_thread_is_refused_with_the_settings_name(script: Path) -> None:
    with Host(script) as host:
        assert host.call("daemon").code == 1
        result = host.call("listener")
        assert result.code == -1
        assert "allow_daemon_threads" in result.error
        assert host.call("stop").code == 1


def test_a_daemon_thread_that_is_allowed(script: Path) -> None:
    with Host(script, allow_daemon_threads=True) as host:
        assert host.call("daemon").code == 2
        assert host.call("stop").code == 1


def test_threads_that_are_not_allowed(tmp_path: Path) -> None:
    script = tmp_path / "threads.py"
    script.write_text(
        "import threading\n"
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def go(self, msg): threading.Thread(target=print).start()\n"
        "    def fine(self, msg): return 7\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    with Host(script, allow_threads=False) as host:
        result = host.call("go")
        assert (result.code, result.outcome) == (-1, "raised")
        assert "RuntimeError" in result.error
        assert host.call("fine").code == 7


def test_pools_and_loops(script: Path) -> None:
    with Host(script, 4) as host:
        for round_number in range(1, 6):
            assert [result.code for result in host.each("pool")] == [6] * 4
            assert [result.code for result in host.each("loop")] == [5] * 4
            assert [result.code for result in host.each("local")] == [round_number] * 4
        assert [result.code for result in host.each("stop")] == [1] * 4


ENDLESS = """
import threading, time

class H:
    def child_init(self, rank):
        return 0

    def go(self, msg):
        threading.Thread(target=self.work).start()
        return 1

    def work(self):
        while True:
            time.sleep(0.01)

def mod_init():
    return H()
"""

ENDLESS_HOST = """
import sys
from isoexec import Engine
from support.messages import INVITE

with Engine("handler.py", ranks=1, channel="inline", grace=0.2) as engine:
    with engine.open_rank(1) as rank:
        assert rank.python_exec("go", INVITE).code == 1
print("the engine is closed", flush=True)
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 4])
def test_a_thread_that_never_ends_does_not_stop_the_host(tmp_path: Path, code: int) -> None:
    """The rank is abandoned after the grace time, and the host's own exit code stands."""
    (tmp_path / "handler.py").write_text(ENDLESS, encoding="utf-8")
    ended = run_python(ENDLESS_HOST, tmp_path, str(code), limit=20).expect(code)
    assert "the engine is closed" in ended.out
