"""When a reload comes: beside calls, another reload, the end of the engine; no call is lost."""

import gc
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from isoexec import AsyncEngine, Engine, errors
from support.host import LIMIT, wait_until
from support.messages import INVITE
from support.queues import Gate, resident
from support.run import run
from support.site import Site


def test_while_a_rank_is_in_a_call(site: Site) -> None:
    """It waits for its turn; the others serve meanwhile, and it reloads before its next call."""
    gate = Gate()
    site.handler("return msg.call_function('gate')")
    site.start(ranks=2, functions={"gate": gate})
    held = threading.Thread(target=site.go)
    held.start()
    try:
        gate.wait()
        site.handler("return 2")
        with pytest.raises(errors.CallTimeoutError, match="rank 1"):
            site.engine.reload(timeout=0.8)  # on a busy machine rank 2 needs some of it
        if site.channel == "queue":
            assert wait_until(lambda: site.reloads() == [0, 1])
        assert site.go(rank=2) == 2
    finally:
        gate.open()
        held.join()
    assert site.go(rank=1) == 2
    assert site.reloads() == [1, 1]


def test_in_a_call_of_the_engine(site: Site) -> None:
    codes: list[str] = []

    def reload(call: Any) -> int:
        try:
            site.engine.reload(timeout=5)
        except errors.RankError as error:
            codes.append(error.code)
        return 4

    site.handler("return msg.call_function('reload')")
    site.start(functions={"reload": reload})
    assert site.go() == 4
    assert codes == ["ESTATE"]
    site.reload()


def test_on_the_thread_of_an_inline_rank(tmp_path: Path) -> None:
    site = Site(tmp_path, "inline")
    site.handler("return 1")
    with Engine(tmp_path / "handler.py", channel="inline", ranks=2) as engine:
        with engine.open_rank(2) as rank:
            site.handler("return 2")
            engine.reload()
            assert rank.python_exec("go", INVITE).code == 2
            site.handler("return 3", mod_init="1/0")
            with pytest.raises(errors.ScriptError):
                engine.reload()
            assert rank.python_exec("go", INVITE).code == 2


def test_two_at_once(site: Site) -> None:
    gate = Gate()
    site.handler("return msg.call_function('gate')")
    site.start(functions={"gate": gate})
    held = threading.Thread(target=site.go)
    held.start()
    gate.wait()
    first = threading.Thread(target=site.engine.reload)
    first.start()
    try:
        seen: list[str] = []

        def refused() -> bool:
            try:
                site.engine.reload(timeout=0)
            except errors.IsoexecError as error:
                seen.append(f"{error.code} {error}")
            return "ESTATE another reload" in seen[-1]

        assert wait_until(refused), seen
    finally:
        gate.open()
        held.join()
        while first.is_alive():
            site.go()
            first.join(0.01)
    assert site.go() == 1


def test_with_no_rank_open_and_closed(tmp_path: Path) -> None:
    Site(tmp_path, "inline").handler()
    engine = Engine(tmp_path / "handler.py", channel="inline")
    engine.reload()
    engine.close()
    with pytest.raises(errors.EngineClosedError):
        engine.reload()


@pytest.mark.parametrize("timeout", [-1, 3601, float("nan")])
def test_a_time_that_is_none(site: Site, timeout: float) -> None:
    site.handler()
    site.start()
    with pytest.raises(ValueError, match="0 to 3600"):
        site.engine.reload(timeout=timeout)


def test_close_does_not_wait_for_a_reload(tmp_path: Path) -> None:
    """It waits for a call that goes on; the engine ends when that does."""
    gate = Gate()
    site = Site(tmp_path, "queue")
    site.handler("return msg.call_function('gate')")
    engine = Engine(tmp_path / "handler.py", ranks=2, functions={"gate": gate})
    task = engine.submit("go", INVITE, rank=1)
    gate.wait()
    failed: list[errors.IsoexecError] = []

    def reload() -> None:
        try:
            engine.reload(timeout=3000)
        except errors.IsoexecError as error:
            failed.append(error)

    thread = threading.Thread(target=reload)
    thread.start()
    time.sleep(0.05)
    closing = threading.Thread(target=engine.close)
    closing.start()
    thread.join(LIMIT)
    assert [type(error) for error in failed] == [errors.EngineClosedError]
    gate.open()
    closing.join(LIMIT)
    assert not closing.is_alive()
    assert task.done()


def test_a_full_queue(tmp_path: Path) -> None:
    gate = Gate()
    site = Site(tmp_path, "queue")
    site.handler("return msg.call_function('gate')")
    with Engine(tmp_path / "handler.py", ranks=1, queue_size=4, functions={"gate": gate}) as engine:
        tasks = [engine.submit("go", INVITE) for _ in range(4)]
        gate.wait()
        site.handler("return 2")
        thread = threading.Thread(target=engine.reload)
        thread.start()
        gate.open()
        thread.join(LIMIT)
        assert not thread.is_alive()
        codes = [task.result(LIMIT).code for task in tasks]
        assert codes[0] == 1
        assert set(codes) <= {1, 2}
        assert engine.python_exec("go", INVITE).code == 2


def test_async(tmp_path: Path) -> None:
    site = Site(tmp_path, "queue")
    site.handler("return 1")

    async def main() -> None:
        async with AsyncEngine(tmp_path / "handler.py", ranks=2) as engine:
            assert (await engine.python_exec("go", INVITE)).code == 1
            site.handler("return 2")
            await engine.reload()
            assert (await engine.python_exec("go", INVITE)).code == 2
            site.handler("return 3", mod_init="1/0")
            with pytest.raises(errors.ScriptError, match="ZeroDivisionError"):
                await engine.reload()
            assert [row.reloads for row in engine.stats()] == [1, 1]

    anyio.run(main)


# ---- by signal


HOST = """
import os, signal, sys, time
from isoexec import Engine
mine = []
signal.signal(signal.SIGHUP, lambda *_: mine.append(1))
MESSAGE = {message!r}
script = sys.argv[1]

def wait(what):
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)

text = open(script).read()
engines = [Engine(script, ranks=2, reload_signal="hup") for _ in range(2)]
other = Engine(script, ranks=1)
open(script, "w").write(text.replace("return 1", "return 2"))
os.kill(os.getpid(), signal.SIGHUP)
wait(lambda: all(row.reloads == 1 for engine in engines for row in engine.stats()))
assert [e.python_exec("go", MESSAGE).code for e in (*engines, other)] == [2, 2, 1]
assert not mine
engines[0].close()
os.kill(os.getpid(), signal.SIGHUP)
wait(lambda: all(row.reloads == 2 for row in engines[1].stats()))
engines[1].close()
os.kill(os.getpid(), signal.SIGHUP)
wait(lambda: mine == [1])
engines = [Engine(script, ranks=1, reload_signal=name) for name in ("hup", "usr1", "usr2")]
os.kill(os.getpid(), signal.SIGUSR1)
wait(lambda: [e.stats()[0].reloads for e in engines] == [0, 1, 0])
other.close()
print("good")
"""


def test_signals_of_a_python_host(tmp_path: Path) -> None:
    Site(tmp_path, "queue").handler("return 1")
    host = tmp_path / "host.py"
    host.write_text(HOST.format(message=INVITE))
    ended = run([sys.executable, "-P", str(host), str(tmp_path / "handler.py")]).expect(0)
    assert ended.out == "good\n"


def test_a_signal_that_finds_a_broken_script(tmp_path: Path) -> None:
    site = Site(tmp_path, "queue")
    site.handler("return 1")
    site.start(reload_signal="usr1")
    try:
        site.handler("return 2", top="def (")
        os.kill(os.getpid(), signal.SIGUSR1)
        site.log.wait("reload on signal")
        assert site.go() == 1
        assert len([line for line in site.log.texts() if "SyntaxError" in line]) == 1
        site.handler("return 3")
        os.kill(os.getpid(), signal.SIGUSR1)
        site.log.wait("reloaded on signal")
        assert site.go() == 3
    finally:
        site.stop()


# ---- under load


RELOADS = [60, pytest.param(500, marks=[pytest.mark.stress, pytest.mark.timeout(1800)])]
GROWTH = 32 << 10  # octets for each reload of four ranks; docs/reload.md states it


@pytest.mark.parametrize("count", RELOADS)
def test_no_call_is_lost(tmp_path: Path, count: int) -> None:
    """Callers without a pause on four ranks; every third edit is broken. Memory is bounded."""
    site = Site(tmp_path, "queue")
    site.write("part.py", "VALUE = 1\n")
    top = "import threading, json\nimport part\nTABLE = {i: str(i) for i in range(2000)}"
    site.handler("return part.VALUE", top=top)
    stop = threading.Event()
    with Engine(tmp_path / "handler.py", ranks=4, log_level="alert") as engine:
        wrong: list[Any] = []
        made = [0] * 4

        def work(number: int) -> None:
            last = 0
            while not stop.is_set():
                result = engine.python_exec("go", INVITE, rank=number + 1)
                made[number] += 1
                if result.outcome != "returned" or result.code < last:
                    wrong.append((number, result.outcome, result.code, last, result.error))
                last = result.code

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        before = 0
        try:
            for turn in range(2, count + 2):
                if turn == count // 5:
                    before = settled()
                if turn % 3 == 0:
                    site.write("part.py", "VALUE = (\n")
                    with pytest.raises(errors.ScriptError):
                        engine.reload(timeout=LIMIT)
                site.write("part.py", f"VALUE = {turn}\n")
                engine.reload(timeout=LIMIT)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        grown = settled() - before
        assert not wrong, wrong[:3]
        assert [row.reloads for row in engine.stats()] == [count] * 4
        assert [row.calls for row in engine.stats()] == made
        assert [engine.python_exec("go", INVITE, rank=n).code for n in range(1, 5)] == [
            count + 1
        ] * 4
        assert grown / (count - count // 5) < GROWTH, grown


def settled() -> int:
    gc.collect()
    return resident()
