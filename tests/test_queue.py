"""Queue ranks from Python threads: every answer its own, in any order of submit, wait, cancel."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, errors
from support.host import recorded, wait_until
from support.messages import INVITE, request
from support.queues import BASIC, Gate, cpu_seconds, in_threads


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def engine(gate: Gate) -> Iterator[Engine]:
    with Engine(BASIC, ranks=2, functions={"gate": gate}) as engine:
        yield engine
        gate.open()


def test_queue_is_the_channel_that_you_get(engine: Engine) -> None:
    assert engine.python_exec("one", INVITE).code == 1
    with pytest.raises(errors.IsoexecError):
        engine.open_rank(1)


def test_a_result_is_whole(engine: Engine) -> None:
    message = request("X-One: 1", call_id="whole@example.net")
    result = engine.python_exec(
        "own",
        message,
        "whole@example.net",
        rank=2,
        route="branch",
        source=("192.0.2.7", 5060),
        destination=("2001:db8::1", 5070),
    )
    assert (result.code, result.outcome) == (17, "returned"), result.error
    assert result.message == message
    assert result.dst_uri == "sip:whole@example.net@example.net"
    assert [edit.name for edit in result.edits] == ["X-Own", None]
    assert b"X-Own: whole@example.net\r\n" in result.rendered
    assert engine.python_exec("who", INVITE, rank=2).code == 2


def test_results_live_on(engine: Engine) -> None:
    """A result is the caller's, whatever the rank does afterwards."""
    names = [f"{number}@example.net" for number in range(500)]
    results = [engine.python_exec("own", request(call_id=name), name) for name in names]
    assert [result.edits[0].value for result in results] == names


def test_failures_are_results(engine: Engine) -> None:
    raised = engine.python_exec("raises", INVITE)
    assert (raised.code, raised.outcome) == (-1, "raised")
    assert "in the rank" in raised.error
    assert engine.python_exec("absent", INVITE).outcome == "missing"
    assert engine.python_exec("one", b"no message").outcome == "malformed"
    assert engine.python_exec("one", INVITE).code == 1


def test_a_rank_keeps_its_thread(engine: Engine) -> None:
    answers = in_threads(
        8, lambda n: engine.python_exec("same_thread", INVITE, rank=n % 2 + 1).code, range(400)
    )
    assert answers == [1] * 400


@pytest.mark.parametrize("rank", [0, -1, 3, 2**31, 2**40])
def test_a_rank_that_is_none(engine: Engine, rank: int) -> None:
    with pytest.raises((errors.ArgumentError, OverflowError)):
        engine.python_exec("one", INVITE, rank=rank)


@pytest.mark.parametrize(
    "arguments",
    [(5, INVITE), ("one", "text"), ("one", None), ("one", INVITE, 5), ("one\0", INVITE)],
)
def test_wrong_arguments(engine: Engine, arguments: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, ValueError)):
        engine.python_exec(*arguments)
    assert engine.python_exec("one", INVITE).code == 1


def test_every_thread_gets_its_own_answer(engine: Engine) -> None:
    answers = in_threads(
        16, lambda n: engine.python_exec("number", INVITE, str(n)).code, range(1, 5001)
    )
    assert answers == list(range(1, 5001))
    assert sum(stats.calls for stats in engine.stats()) == 5000


def test_large_and_small_messages_keep_their_octets(engine: Engine) -> None:
    def work(number: int) -> int:
        message = request(body=bytes([number % 256]) * (number * 37 % 40_000))
        digest = hashlib.sha256(message).hexdigest()
        return int(engine.python_exec("digest", message, digest).code)

    assert in_threads(8, work, range(400)) == [1] * 400


def test_two_thousand_callers_on_one_rank() -> None:
    threading.stack_size(256 << 10)
    try:
        with Engine(BASIC, ranks=1, queue_size=64) as engine:
            answers: dict[int, int] = {}

            def work(number: int) -> None:
                answers[number] = engine.python_exec("number", INVITE, str(number), rank=1).code

            threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 2001)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        threading.stack_size(0)
    assert answers == {number: number for number in range(1, 2001)}


# ---- any rank ----


def test_any_rank_is_an_idle_one(engine: Engine, gate: Gate) -> None:
    held = engine.submit("calls", INVITE, "gate", rank=1)
    gate.wait()
    assert [engine.python_exec("who", INVITE).code for _ in range(50)] == [2] * 50
    gate.open()
    assert held.result().code == 1


def test_calls_spread_over_the_ranks(gate: Gate) -> None:
    with Engine(BASIC, ranks=4, functions={"gate": gate}) as engine:
        handles = [engine.submit("calls", INVITE, "gate") for _ in range(4)]
        gate.wait(4)
        gate.open()
        assert [handle.result().code for handle in handles] == [1] * 4
        assert [stats.calls for stats in engine.stats()] == [1] * 4


# ---- submit ----


def test_submit_and_result(engine: Engine) -> None:
    handles = [engine.submit("number", INVITE, str(n), rank=1) for n in range(1, 501)]
    assert [handle.result().code for handle in reversed(handles)] == list(range(500, 0, -1))
    assert all(handle.done() for handle in handles)
    assert handles[0].result().code == 1


def test_a_result_that_is_not_there_yet(engine: Engine, gate: Gate) -> None:
    handle = engine.submit("calls", INVITE, "gate", rank=1)
    gate.wait()
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError):
            handle.result(timeout)
    assert not handle.done()
    gate.open()
    assert handle.result(60).code == 1
    assert handle.done()


def test_a_call_that_is_cancelled_is_not_made(engine: Engine, gate: Gate) -> None:
    held = engine.submit("calls", INVITE, "gate", rank=1)
    gate.wait()
    waiting = [engine.submit("count", INVITE, rank=1) for _ in range(10)]
    for handle in waiting[::2]:
        handle.cancel()
    gate.open()
    assert [handle.result().code for handle in waiting[1::2]] == [1, 2, 3, 4, 5]
    for handle in waiting[::2]:
        with pytest.raises(errors.IsoexecError) as caught:
            handle.result(5)
        assert caught.value.code == "ECANCELLED"
    assert held.result().code == 1
    assert engine.python_exec("counts", INVITE, rank=1).code == 5


def test_a_call_that_is_cancelled_while_it_runs(engine: Engine, gate: Gate) -> None:
    handle = engine.submit("calls", INVITE, "gate", rank=1)
    gate.wait()
    handle.cancel()
    handle.cancel()
    gate.open()
    assert engine.python_exec("number", INVITE, "5", rank=1).code == 5


def test_handles_that_nobody_keeps(engine: Engine) -> None:
    for _ in range(2000):
        engine.submit("own", INVITE, "test@192.0.2.1")
    for rank in (1, 2):
        assert engine.python_exec("number", INVITE, "3", rank=rank).code == 3


def test_a_timeout_of_the_caller(engine: Engine, gate: Gate) -> None:
    held = engine.submit("calls", INVITE, "gate", rank=1)
    gate.wait()
    with pytest.raises(TimeoutError):
        engine.python_exec("count", INVITE, rank=1, timeout=0.02)
    gate.open()
    assert held.result().code == 1
    assert engine.python_exec("counts", INVITE, rank=1).code == 0
    assert engine.python_exec("one", INVITE, timeout=60).code == 1


def test_cancelled_as_it_completes(engine: Engine) -> None:
    """From another thread, at any moment: cancelled or answered, and the next answer is right."""
    for number in range(1, 1001):
        handle = engine.submit("number", INVITE, str(number), rank=1)
        other = threading.Thread(target=handle.cancel) if number % 50 == 0 else None
        if other:
            other.start()
        elif number % 2:
            handle.cancel()
        try:
            assert handle.result(60).code == number
        except errors.IsoexecError as error:
            assert error.code == "ECANCELLED"
        if other:
            other.join()
    assert engine.python_exec("number", INVITE, "7", rank=1).code == 7


# ---- back-pressure ----


def test_a_full_queue_rejects(gate: Gate) -> None:
    with Engine(
        BASIC, ranks=1, queue_size=8, on_overload="reject", functions={"gate": gate}
    ) as engine:
        handles = [engine.submit("calls", INVITE, "gate", rank=1)]
        gate.wait()
        with pytest.raises(errors.OverloadError) as caught:
            handles.extend(engine.submit("one", INVITE, rank=1) for _ in range(100))
        assert caught.value.code == "EOVERLOAD"
        assert 9 <= len(handles) < 100
        gate.open()
        assert [handle.result().code for handle in handles] == [1] * len(handles)
        assert engine.python_exec("one", INVITE).code == 1


def test_a_full_queue_makes_the_submitter_wait(gate: Gate) -> None:
    with Engine(BASIC, ranks=1, queue_size=8, functions={"gate": gate}) as engine:
        held = engine.submit("calls", INVITE, "gate", rank=1)
        gate.wait()
        handles: list[Any] = []

        def submit() -> None:
            handles.extend(engine.submit("count", INVITE, rank=1) for _ in range(50))

        thread = threading.Thread(target=submit)
        thread.start()
        time.sleep(0.05)  # it must wait by now, for a place that only the gate gives
        assert thread.is_alive()
        gate.open()
        thread.join(60)
        assert [handle.result(60).code for handle in handles] == list(range(1, 51))
        assert held.result().code == 1


# ---- logs, idleness ----


def test_logs_carry_their_rank() -> None:
    with recorded() as records, Engine(BASIC, ranks=2) as engine:
        for rank in (1, 2):
            engine.python_exec("logs", INVITE, f"hello from {rank}", rank=rank)
            records.wait(f"hello from {rank}", rank=rank)
        engine.python_exec("raises", INVITE, rank=2)
        records.wait("in the rank", rank=2)


def test_idle_ranks_use_no_cpu() -> None:
    with Engine(BASIC, ranks=4) as engine:
        for rank in range(1, 5):
            assert engine.python_exec("one", INVITE, rank=rank).code == 1
        time.sleep(0.2)
        before = cpu_seconds()
        time.sleep(2)
        assert cpu_seconds() - before < 0.02
        assert engine.python_exec("one", INVITE).code == 1


def test_engines_come_and_go() -> None:
    for _ in range(5):
        with Engine(BASIC, ranks=2) as first, Engine(BASIC, ranks=1) as second:
            assert first.python_exec("number", INVITE, "3").code == 3
            assert second.python_exec("number", INVITE, "4").code == 4


@pytest.mark.parametrize("text", ["syntax error(", "def mod_init(): raise LookupError('not this')"])
def test_a_script_that_does_not_start(tmp_path: Path, text: str) -> None:
    script = tmp_path / "broken.py"
    script.write_text(text, encoding="utf-8")
    threads = threading.active_count()
    for _ in range(3):
        with pytest.raises(errors.ScriptError) as caught:
            Engine(str(script), ranks=3)
        assert caught.value.traceback
    assert wait_until(lambda: threading.active_count() <= threads)


def test_one_rank_that_does_not_start(tmp_path: Path) -> None:
    script = tmp_path / "third.py"
    text = Path(BASIC).read_text(encoding="utf-8")
    script.write_text(
        text.replace("        self.counted = 0", "        assert rank != 3, 'not 3'\n"), "utf-8"
    )
    with pytest.raises(errors.ScriptError) as caught:
        Engine(str(script), ranks=4)
    assert "not 3" in caught.value.traceback


def test_more_methods_than_names_are_kept(tmp_path: Path) -> None:
    """The engine keeps a handful of names for the process; a call by any other name is as right."""
    names = [f"method_{number}" for number in range(150)] + [
        "m" * length for length in (63, 64, 500)
    ]
    script = tmp_path / "many.py"
    script.write_text(
        "class Handler:\n    def child_init(self, rank):\n        return 0\n"
        + "".join(
            f"    def {name}(self, msg):\n        return {number + 1}\n"
            for number, name in enumerate(names)
        )
        + "def mod_init():\n    return Handler()\n"
    )
    with Engine(script, ranks=2) as engine:
        for _ in range(2):
            codes = [engine.python_exec(name, INVITE).code for name in names]
            assert codes == list(range(1, len(names) + 1))
        assert engine.python_exec("method_", INVITE).outcome == "missing"
