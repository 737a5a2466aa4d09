"""The rules that keep own-GIL interpreters alive, each with the use that would break them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host
from support.run import run_python

HERE = Path(__file__).parent

SCRIPT = """
import enum, http, os, random, signal, socket, subprocess, sys, uuid
from dataclasses import dataclass

@dataclass
class Data:
    a: int = 1

class H:
    def child_init(self, rank):
        return 0

    def enum_text(self, msg):
        wanted = {
            "200": [f"{http.HTTPStatus.OK}", str(http.HTTPStatus.OK), "%s" % http.HTTPStatus.OK],
            "2": [str(socket.AF_INET), str(signal.SIGINT)],
        }
        class Mine(enum.IntFlag):
            A = 4
        if str(Mine.A) != "4" or f"{Mine.A}" != "4":
            return -1
        return 1 if all(text == key for key, texts in wanted.items() for text in texts) else -2

    def frames(self, msg):
        return len(sys._current_frames()) and 1

    def exceptions(self, msg):
        return len(sys._current_exceptions()) and 1

    def draw(self, msg):
        return msg.call_function("drawn", "%r %s" % (random.random(), uuid.uuid4()))

    def fork(self, msg):
        try:
            os.fork()
        except RuntimeError:
            return 1
        return -1

    def exec(self, msg):
        try:
            os.execv("/bin/true", ["true"])
        except RuntimeError:
            return 1
        return -1

    def run(self, msg):
        command = [sys.executable, "-c", "print(6 * 7)"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        return int(done.stdout)

    def shell(self, msg):
        return subprocess.run(["/bin/sh", "-c", "exit 5"]).returncode

    def tracemalloc(self, msg):
        try:
            import tracemalloc
            tracemalloc.start()
        except (ImportError, RuntimeError):
            return 1
        return -1

    def faulthandler(self, msg):
        try:
            import faulthandler
        except ImportError as error:
            return 1 if "faulthandler" in str(error) else -2
        return -1

    def signal(self, msg):
        try:
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        except ValueError:
            return 1
        return -1

    def times(self, msg):
        import datetime, decimal, zoneinfo
        when = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.timezone.utc)
        parsed = datetime.datetime.strptime("2026-11-25", "%Y-%m-%d")
        zone = zoneinfo.ZoneInfo("Europe/Berlin")
        if decimal.Decimal("1.1") * 2 != decimal.Decimal("2.2") or when.astimezone(zone).hour != 13:
            return -1
        return when.day if when.day == parsed.day == Data().a + 24 else -2

    def thread_is_main(self, msg):
        import threading
        return 1 if threading.current_thread() is threading.main_thread() else -1

    def recursion(self, msg):
        def down(n):
            return 0 if n == 0 else 1 + down(n - 1)
        return down(500)

    def fine(self, msg):
        return 7

def mod_init():
    return H()
"""


@pytest.fixture(scope="module")
def drawn() -> list[str]:
    return []


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, drawn: list[str]) -> Iterator[Host]:
    script = tmp_path_factory.mktemp("rules") / "rules.py"
    script.write_text(SCRIPT, encoding="utf-8")

    def keep(call: object, text: str) -> int:
        drawn.append(text)
        return 1

    with Host(script, 4, functions={"drawn": keep}) as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "code"),
    [
        ("enum_text", 1),
        ("frames", 1),
        ("exceptions", 1),
        ("fork", 1),
        ("exec", 1),
        ("run", 42),
        ("shell", 5),
        ("tracemalloc", 1),
        ("faulthandler", 1),
        ("signal", 1),
        ("times", 25),
        ("recursion", 500),
    ],
)
def test_in_every_rank_at_once(host: Host, method: str, code: int) -> None:
    for _ in range(5):
        results = host.each(method)
        assert [result.code for result in results] == [code] * 4, results[0].error
    assert [result.code for result in host.each("fine")] == [7] * 4


def test_ranks_draw_different_random_numbers(host: Host, drawn: list[str]) -> None:
    for _ in range(3):
        host.each("draw")
    assert len(set(drawn)) == len(drawn) == 12


def test_fork_is_refused_in_the_host_while_ranks_live(host: Host) -> None:
    with pytest.raises(RuntimeError, match="fork"):
        os.fork()
    assert host.call("fine").code == 7


def test_subprocess_works_in_the_host_while_ranks_live(host: Host) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "print(6 * 7)"], stdout=subprocess.PIPE, check=True
    )
    assert done.stdout == b"42\n"
    assert host.call("fine").code == 7


def test_fork_works_again_when_no_rank_lives(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(SCRIPT, encoding="utf-8")
    run_python(
        """
        import os
        from isoexec import Engine
        with Engine("handler.py", ranks=1, channel="inline") as engine, engine.open_rank(1):
            try:
                os.fork()
            except RuntimeError as error:
                print(error)
            else:
                os._exit(9)
        """,
        tmp_path,
    ).expect()


def test_tracemalloc_is_refused_in_the_host_while_ranks_live(host: Host) -> None:
    import tracemalloc

    with pytest.raises(RuntimeError, match="tracemalloc"):
        tracemalloc.start()
    assert not tracemalloc.is_tracing()
    assert host.call("fine").code == 7


@pytest.mark.parametrize("how", ["environment", "before the engine"])
def test_an_engine_does_not_start_under_tracemalloc(tmp_path: Path, how: str) -> None:
    (tmp_path / "handler.py").write_text(SCRIPT, encoding="utf-8")
    ended = run_python(
        """
        import sys
        if sys.argv[1] == "before the engine":
            import tracemalloc
            tracemalloc.start()
        from isoexec import Engine, errors
        try:
            with Engine("handler.py", ranks=1, channel="inline") as engine, engine.open_rank(1):
                pass
        except errors.IsoexecError as error:
            sys.exit(f"refused: {error}")
        """,
        tmp_path,
        how,
        env={"PYTHONTRACEMALLOC": "1"} if how == "environment" else {},
    ).expect(1)
    assert "refused:" in ended.err
    assert "tracemalloc" in ended.err


def test_a_small_stack(tmp_path: Path) -> None:
    """A thread with 256 KiB of stack: refused by name, or deep recursion is an error there too."""
    (tmp_path / "handler.py").write_text(
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def deep(self, msg): return self.deep(msg) + 1\n"
        "    def fine(self, msg): return 7\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    run_python(
        """
        import sys, threading
        from isoexec import Engine, errors
        from support.messages import INVITE

        seen = []
        def serve():
            try:
                with engine.open_rank(1) as rank:
                    deep = rank.python_exec("deep", INVITE)
                    clean = rank.python_exec("fine", INVITE).code == 7
                    seen.append("RecursionError" in deep.error and clean)
            except errors.IsoexecError as error:
                seen.append("stack" in str(error))

        for size in (256 * 1024, 1024 * 1024, 8 * 1024 * 1024):
            threading.stack_size(size)
            with Engine("handler.py", ranks=1, channel="inline") as engine:
                thread = threading.Thread(target=serve)
                thread.start()
                thread.join()
        sys.exit(seen != [True, True, True])
        """,
        tmp_path,
    ).expect()


def test_importing_isoexec_starts_nothing(tmp_path: Path) -> None:
    run_python(
        """
        import threading
        import isoexec
        assert threading.active_count() == 1
        import os
        if os.fork() == 0:
            os._exit(0)
        assert os.wait()[1] == 0
        """,
        tmp_path,
    ).expect()


def test_the_refusal_of_fork_suggests_subprocess(host: Host) -> None:
    with pytest.raises(RuntimeError, match="subprocess"):
        os.fork()
    assert host.call("shell").code == 5


GETSIGNAL = """
import asyncio, signal

class H:
    def child_init(self, rank):
        return 0

    def ask(self, msg):
        for number in (signal.SIGINT, signal.SIGTERM):
            for _ in range(10_000):
                signal.getsignal(number)
        return 1

    def loop(self, msg):
        async def work():
            await asyncio.sleep(0)
            return 5
        return asyncio.run(work())

def mod_init():
    return H()
"""


@pytest.mark.parametrize(("method", "calls"), [("ask", 40), ("loop", 500)])
def test_ranks_do_not_touch_the_hosts_signal_handlers(
    method: str, calls: int, tmp_path: Path
) -> None:
    """CPython's handler table is one for all interpreters: reading it counts references across
    GILs, and asyncio.run reads it on 3.12. The host's handler must come out as it went in."""
    (tmp_path / "handler.py").write_text(GETSIGNAL, encoding="utf-8")
    run_python(
        """
        import signal, sys, threading
        from isoexec import Engine
        from support.messages import INVITE

        def serve(number):
            with engine.open_rank(number) as rank:
                ready.wait(30)
                for _ in range(int(sys.argv[2])):
                    assert rank.python_exec(sys.argv[1], INVITE).code > 0

        handler = signal.getsignal(signal.SIGINT)
        before = sys.getrefcount(handler)
        ready = threading.Barrier(4)
        with Engine("handler.py", ranks=4, channel="inline") as engine:
            threads = [threading.Thread(target=serve, args=(number,)) for number in (1, 2, 3, 4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert sys.getrefcount(handler) == before, sys.getrefcount(handler)
        """,
        tmp_path,
        method,
        str(calls),
    ).expect()
