"""The end of an engine with queue ranks: every call is answered, none hangs."""

import threading
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, errors
from support.host import LIMIT, wait_until
from support.messages import INVITE
from support.queues import BASIC, Gate
from support.run import run_python


def test_no_call_after_close() -> None:
    with Engine(BASIC, ranks=1) as engine:
        assert engine.python_exec("one", INVITE).code == 1
    for work in (engine.python_exec, engine.submit):
        with pytest.raises(errors.RankError) as caught:
            work("one", INVITE)
        assert caught.value.code == "ESTATE"
    assert engine.close() == 0


def test_close_with_calls_queued_and_running() -> None:
    gate = Gate()
    engine = Engine(BASIC, ranks=1, functions={"gate": gate})
    held = engine.submit("calls", INVITE, "gate")
    gate.wait()
    queued = [engine.submit("one", INVITE) for _ in range(100)]
    refused: list[str] = []
    started = threading.Semaphore(0)

    def wait() -> None:
        started.release()
        try:
            engine.python_exec("one", INVITE, rank=1)
        except errors.RankError as error:
            refused.append(error.code)

    waiters = [threading.Thread(target=wait) for _ in range(20)]
    for waiter in waiters:
        waiter.start()
        assert started.acquire(timeout=LIMIT)
    closer = threading.Thread(target=engine.close)
    closer.start()
    for waiter in waiters:  # they end at once, though the rank is still held
        waiter.join(LIMIT)
        assert not waiter.is_alive()
    assert refused == ["ESTATE"] * 20
    for handle in queued:
        assert answer(handle) == "ESTATE"
    gate.open()
    closer.join(LIMIT)
    assert not closer.is_alive()
    assert held.result(LIMIT).code == 1


def answer(handle: Any) -> int | str:
    """The code of a call's result, or that of its error."""
    try:
        return int(handle.result(LIMIT).code)
    except errors.IsoexecError as error:
        return error.code


def test_close_while_threads_call() -> None:
    for _ in range(5):
        engine = Engine(BASIC, ranks=2)
        ends: list[str] = []
        calls = [0] * 8

        def work(
            number: int, engine: Engine = engine, calls: list[int] = calls, ends: list[str] = ends
        ) -> None:
            try:
                while True:
                    assert engine.python_exec("number", INVITE, str(number)).code == number
                    calls[number] += 1
            except errors.RankError as error:
                ends.append(error.code)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        assert wait_until(lambda calls=calls: sum(calls) > 200)  # type: ignore[misc]
        assert engine.close() == 0
        for thread in threads:
            thread.join(LIMIT)
        assert ends == ["ESTATE"] * 8


def test_close_inside_a_call() -> None:
    """From a host function the engine can not end: an error, not a deadlock."""
    seen: list[str] = []

    def close(call: Any) -> int:
        try:
            engine.close()
        except errors.RankError as error:
            seen.append(error.code)
        return 1

    with Engine(BASIC, ranks=1, functions={"close": close}, grace=2) as engine:
        assert engine.python_exec("calls", INVITE, "close").code == 1
        assert seen == ["ESTATE"]


PROLOGUE = """
import os, signal, sys, threading, time
from isoexec import Engine, errors
from support.messages import INVITE
from support.queues import BASIC, Gate
gate = Gate()
def new(**more):
    return Engine(BASIC, ranks=4, functions={"gate": gate}, grace=1, **more)
def wait_in_daemon(engine):
    arguments = ("calls", INVITE, "gate")
    threading.Thread(target=engine.python_exec, args=arguments, daemon=True).start()
def open_later():
    threading.Timer(0.3, gate.open).start()
"""

# What the host does, and the exit code that it must have.
ENDINGS = {
    "in order": (0, "with new() as engine: assert engine.python_exec('one', INVITE).code == 1"),
    "not closed": (0, "engine = new(); engine.python_exec('one', INVITE)"),
    "exit code": (3, "engine = new(); engine.python_exec('one', INVITE); sys.exit(3)"),
    "exit in a with": (4, "with new() as engine: sys.exit(4)"),
    "exception": (1, "engine = new(); raise LookupError"),
    "os._exit": (5, "engine = new(); os._exit(5)"),
    "dropped": (0, "new().python_exec('one', INVITE); new()"),
    "calls in flight": (
        6,
        "e = new(); kept = [e.submit('sleep', INVITE, '0.01') for _ in BASIC]\nsys.exit(6)",
    ),
    "a daemon thread waits": (
        7,
        "engine = new(); wait_in_daemon(engine); gate.wait(); open_later(); sys.exit(7)",
    ),
    "stuck": (
        8,
        "engine = new(); kept = engine.submit('sleep', INVITE, '3')\ntime.sleep(0.2); sys.exit(8)",
    ),
}


@pytest.mark.parametrize(("code", "text"), ENDINGS.values(), ids=ENDINGS.keys())
def test_the_exit_code_is_the_hosts_own(code: int, text: str, tmp_path: Path) -> None:
    ended = run_python(PROLOGUE + text, tmp_path).expect(code)
    assert "Fatal Python error" not in ended.err


@pytest.mark.parametrize("how", ["python_exec", "result"])
def test_an_interrupt_while_waiting(how: str, tmp_path: Path) -> None:
    """Ctrl-C reaches a thread that waits for a rank, while the call still runs."""
    wait = {
        "python_exec": "engine.python_exec('calls', INVITE, 'gate', rank=1)",
        "result": "engine.submit('calls', INVITE, 'gate', rank=1).result()",
    }[how]
    text = (
        "def interrupt():\n"
        "    gate.wait()\n"
        "    time.sleep(0.1)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "with new() as engine:\n"
        "    threading.Thread(target=interrupt).start()\n"
        "    try:\n"
        f"        {wait}\n"
        "    except KeyboardInterrupt:\n"
        "        gate.open()\n"
        "        assert engine.python_exec('number', INVITE, '5', rank=1).code == 5\n"
        "        print('interrupted')\n"
    )
    assert run_python(PROLOGUE + text, tmp_path, limit=30).expect().out == "interrupted\n"
