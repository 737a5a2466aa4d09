"""AsyncEngine on asyncio and on trio: many calls at once, cancelled at any moment, to the end."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from isoexec import AsyncEngine, errors
from support.host import LIMIT
from support.messages import INVITE, request
from support.queues import BASIC, Gate, Passes

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])

type Work = Callable[[AsyncEngine, Gate], Awaitable[None]]


def drive(backend: str, work: Work, ranks: int = 2, **options: Any) -> None:
    """Runs `work` with an engine and its gate; what hangs fails."""

    async def main() -> None:
        gate = Gate()
        with anyio.fail_after(LIMIT):
            async with AsyncEngine(
                BASIC, ranks=ranks, functions={"gate": gate}, **options
            ) as engine:
                try:
                    await work(engine, gate)
                finally:
                    gate.open()

    anyio.run(main, backend=backend)


async def entered(gate: Gate, count: int = 1) -> None:
    while gate.entered < count:  # noqa: ASYNC110  # the gate is a thread's
        await anyio.sleep(0.001)


def test_a_call(backend: str) -> None:
    async def work(engine: AsyncEngine, gate: Gate) -> None:
        result = await engine.python_exec(
            "own",
            request(call_id="a@x"),
            "a@x",
            rank=2,
            route="failure",
            source=("192.0.2.1", 5060),
            destination=("192.0.2.2", 5060),
        )
        assert (result.code, result.outcome) == (3, "returned"), result.error
        assert result.dst_uri == "sip:a@x@example.net"
        assert (await engine.python_exec("who", INVITE, rank=1)).code == 1
        assert (await engine.python_exec("raises", INVITE)).outcome == "raised"

    drive(backend, work)


def test_ten_thousand_at_once_on_two_ranks(backend: str) -> None:
    """None is lost, none is answered twice, each answer is its own."""

    async def work(engine: AsyncEngine, gate: Gate) -> None:
        answers: dict[int, int] = {}

        async def one(number: int) -> None:
            result = await engine.python_exec("number", INVITE, str(number))
            assert number not in answers
            answers[number] = result.code

        async with anyio.create_task_group() as group:
            for number in range(1, 10_001):
                group.start_soon(one, number)
        assert answers == {number: number for number in range(1, 10_001)}
        assert sum(stats.calls for stats in engine.stats()) == 10_000

    drive(backend, work)


def test_a_full_queue_does_not_block_the_loop(backend: str) -> None:
    """Calls wait for a place while the loop goes on."""

    async def work(engine: AsyncEngine, gate: Gate) -> None:
        ticks, answers = 0, []

        async def one(number: int) -> None:
            answers.append((await engine.python_exec("number", INVITE, str(number), rank=1)).code)

        async with anyio.create_task_group() as group:
            group.start_soon(engine.python_exec, "calls", INVITE, "gate")
            await entered(gate)
            for number in range(1, 101):
                group.start_soon(one, number)
            for _ in range(20):
                await anyio.sleep(0.001)
                ticks += 1
            gate.open()
        assert ticks == 20
        assert sorted(answers) == list(range(1, 101))

    drive(backend, work, ranks=1, queue_size=8)


def test_a_full_queue_rejects(backend: str) -> None:
    async def work(engine: AsyncEngine, gate: Gate) -> None:
        refused, answered = [], []

        async def one() -> None:
            try:
                answered.append((await engine.python_exec("one", INVITE, rank=1)).code)
            except errors.OverloadError as error:
                refused.append(error.code)

        async with anyio.create_task_group() as group:
            group.start_soon(engine.python_exec, "calls", INVITE, "gate")
            await entered(gate)
            for _ in range(100):
                group.start_soon(one)
            await anyio.sleep(0.05)
            gate.open()
        assert len(answered) >= 8
        assert len(refused) + len(answered) == 100
        assert set(refused) == {"EOVERLOAD"}

    drive(backend, work, ranks=1, queue_size=8, on_overload="reject")


# ---- cancellation ----


def test_cancelled_while_queued(backend: str) -> None:
    async def work(engine: AsyncEngine, gate: Gate) -> None:
        async with anyio.create_task_group() as outer:
            outer.start_soon(engine.python_exec, "calls", INVITE, "gate")
            await entered(gate)
            async with anyio.create_task_group() as group:
                for _ in range(1000):
                    group.start_soon(engine.python_exec, "count", INVITE)
                await anyio.sleep(0.05)
                group.cancel_scope.cancel()
            gate.open()
        assert (await engine.python_exec("counts", INVITE)).code == 0

    drive(backend, work, ranks=1)


def test_cancelled_while_running(backend: str) -> None:
    """The caller goes on at once; the call ends by itself and its answer reaches nobody."""

    async def work(engine: AsyncEngine, gate: Gate) -> None:
        with anyio.move_on_after(0.05) as scope:
            await engine.python_exec("calls", INVITE, "gate")
        assert scope.cancelled_caught
        assert gate.entered == 1
        gate.open()
        for number in range(1, 101):
            assert (await engine.python_exec("number", INVITE, str(number))).code == number

    drive(backend, work, ranks=1)


def test_cancelled_as_it_completes(backend: str) -> None:
    async def work(engine: AsyncEngine, gate: Gate) -> None:
        answers: list[bool] = []
        ended = 0

        async def one(number: int) -> None:
            nonlocal ended
            try:
                # Deadlines that spread around the time that a call takes here.
                with anyio.move_on_after(number % 40 / 10_000):
                    result = await engine.python_exec("number", INVITE, str(number))
                    answers.append(result.code == number)
            finally:
                ended += 1

        for first in range(1, 2001, 50):
            async with anyio.create_task_group() as group:
                for number in range(first, first + 50):
                    group.start_soon(one, number)
        assert ended == 2000
        assert all(answers)
        assert (await engine.python_exec("number", INVITE, "9")).code == 9

    drive(backend, work)


def test_a_thousand_cancelled_in_flight(backend: str) -> None:
    async def work(engine: AsyncEngine, gate: Gate) -> None:
        for round_number in range(5):
            async with anyio.create_task_group() as group:
                for _ in range(1000):
                    group.start_soon(engine.python_exec, "own", INVITE, "test@192.0.2.1")
                await anyio.sleep(0.002 * round_number)
                group.cancel_scope.cancel()
        for rank in (1, 2):
            assert (await engine.python_exec("number", INVITE, "3", rank=rank)).code == 3
        assert [stats.waiting for stats in engine.stats()] == [0, 0]

    drive(backend, work)


def test_a_failure_of_a_sibling_cancels_the_group(backend: str) -> None:
    async def work(engine: AsyncEngine, gate: Gate) -> None:
        async def fail() -> None:
            await entered(gate)
            raise LookupError("the sibling")

        with pytest.raises(BaseExceptionGroup) as caught:
            async with anyio.create_task_group() as group:
                group.start_soon(engine.python_exec, "calls", INVITE, "gate")
                group.start_soon(fail)
        assert caught.group_contains(LookupError)
        gate.open()
        assert (await engine.python_exec("one", INVITE)).code == 1

    drive(backend, work)


def test_deadlines(backend: str) -> None:
    async def work(engine: AsyncEngine, gate: Gate) -> None:
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            with anyio.fail_after(0.05):
                await engine.python_exec("calls", INVITE, "gate")
        with pytest.raises(TimeoutError):
            await engine.python_exec("one", INVITE, rank=1, timeout=0.05)
        assert time.monotonic() - begin < 30
        gate.open()
        assert (await engine.python_exec("one", INVITE, timeout=30)).code == 1

    drive(backend, work, ranks=1)


# ---- host functions, looks, the end ----


def test_host_functions_call_back(backend: str) -> None:
    """They run on the rank's thread and use the blocking way in."""
    passes = Passes()

    async def main() -> None:
        async with AsyncEngine(BASIC, ranks=2, functions={"pass": passes}) as engine:
            passes.engine = engine.engine
            results = [
                await engine.python_exec("calls", INVITE, text, rank=1)
                for text in ("pass 1 who", "pass 2 who", "pass 2 calls pass 1 who")
            ]
            assert [result.code for result in results] == [1, 2, -100]

    anyio.run(main, backend=backend)
    assert "ECYCLE" in passes.refusals


def test_a_look(backend: str) -> None:
    async def work(engine: AsyncEngine, gate: Gate) -> None:
        assert "python" in await engine.look(1, "versions")
        async with anyio.create_task_group() as group:
            group.start_soon(engine.python_exec, "calls", INVITE, "gate")
            await entered(gate)
            with pytest.raises(TimeoutError):
                await engine.look(1, "memory", timeout=0.05)
            gate.open()

    drive(backend, work, ranks=1)


def test_close_with_calls_in_flight(backend: str) -> None:
    async def main() -> None:
        gate = Gate()
        ends: list[str | int] = []
        engine = AsyncEngine(BASIC, ranks=1, functions={"gate": gate})
        await engine.__aenter__()

        async def one(*arguments: Any) -> None:
            try:
                ends.append((await engine.python_exec(*arguments)).code)
            except errors.RankError as error:
                ends.append(error.code)

        async def open_gate() -> None:
            # The queued ones end though the rank is held.
            while len(ends) < 50:  # noqa: ASYNC110
                await anyio.sleep(0.001)
            gate.open()

        async with anyio.create_task_group() as group:
            group.start_soon(one, "calls", INVITE, "gate")
            await entered(gate)
            for _ in range(50):
                group.start_soon(one, "one", INVITE)
            await anyio.sleep(0.05)
            group.start_soon(open_gate)
            await engine.close()
        assert ends[:50] == ["ESTATE"] * 50
        assert ends[50:] in ([1], ["ESTATE"])
        with pytest.raises(errors.RankError):
            await engine.python_exec("one", INVITE)
        await engine.close()

    async def limited() -> None:
        with anyio.fail_after(LIMIT):
            await main()

    anyio.run(limited, backend=backend)


def test_a_broken_script(backend: str, tmp_path: Any) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise LookupError('at import')", encoding="utf-8")

    async def main() -> None:
        with pytest.raises(errors.ScriptError) as caught:
            async with AsyncEngine(str(script), ranks=2):
                pass
        assert "at import" in caught.value.traceback

    anyio.run(main, backend=backend)


def test_one_engine_after_another(backend: str) -> None:
    """Also in loops that follow each other: nothing of an engine stays with a loop."""

    async def work(engine: AsyncEngine, gate: Gate) -> None:
        assert (await engine.python_exec("number", INVITE, "5")).code == 5

    for _ in range(3):
        drive(backend, work, ranks=1)
