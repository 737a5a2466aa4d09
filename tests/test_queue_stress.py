"""Long runs of queue ranks: no leak, no lost answer. ISOEXEC_RUNS scales them."""

from collections.abc import Callable
from itertools import batched
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from isoexec import AsyncEngine, Engine
from support.messages import INVITE
from support.queues import BASIC, in_threads, resident

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]

ALLOWED = 8 << 20  # growth of the process after the warm-up; one object left a call is more


def grows_little(work: Callable[[int], None], calls: int) -> None:
    work(calls // 4)
    before = resident()
    work(calls)
    assert resident() - before < ALLOWED


def test_a_million_calls_from_threads_leave_nothing() -> None:
    with Engine(BASIC, ranks=2) as engine:

        def one(number: int) -> bool:
            return all(
                engine.python_exec("number", INVITE, str(n)).code == n
                for n in range(number * 1000, number * 1000 + 1000)
            )

        def work(calls: int) -> None:
            assert all(in_threads(8, one, range(calls // 1000)))

        grows_little(work, 1_000_000)


def test_a_million_submits_leave_nothing() -> None:
    with Engine(BASIC, ranks=2) as engine:

        def work(calls: int) -> None:
            for numbers in batched(range(1, calls + 1), 500):
                handles = [engine.submit("number", INVITE, str(n)) for n in numbers]
                for handle in handles[::7]:
                    handle.cancel()
                assert all(
                    handle.result().code == number
                    for place, (number, handle) in enumerate(zip(numbers, handles, strict=True))
                    if place % 7
                )

        grows_little(work, 1_000_000)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("cancel", [False, True], ids=["all", "cancelled"])
def test_a_million_awaits_leave_nothing(backend: str, cancel: bool) -> None:
    async def main() -> None:
        async with AsyncEngine(BASIC, ranks=2) as engine:

            async def one(number: int) -> None:
                assert (await engine.python_exec("number", INVITE, str(number))).code == number

            async def work(calls: int) -> None:
                for numbers in batched(range(1, calls + 1), 1000):
                    async with anyio.create_task_group() as group:
                        for number in numbers:
                            group.start_soon(one, number)
                        if cancel:
                            await anyio.lowlevel.checkpoint()
                            group.cancel_scope.cancel()

            calls: Any = 1_000_000
            await work(calls // 4)
            before = resident()
            await work(calls)
            assert resident() - before < ALLOWED
            assert (await engine.python_exec("number", INVITE, "5")).code == 5

    anyio.run(main, backend=backend)
