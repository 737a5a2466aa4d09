"""Long runs: no leak, no crash. ISOEXEC_RUNS scales them; 10: a million failures of a kind."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.host import Host
from support.messages import INVITE, OK, request

pytestmark = [pytest.mark.stress, pytest.mark.timeout(3600)]

FAULTS = Path(__file__).parent / "handlers" / "faults.py"
MEGABYTE = 1 << 20
ALLOWED = (
    8 * MEGABYTE
)  # growth of the whole process after the warm-up; one leaked object a call is more


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host(FAULTS, log_level="alert") as opened:
        yield opened


def resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def grows_little(work: Callable[[int], None], calls: int) -> None:
    work(calls // 4)
    before = resident()
    work(calls)
    assert resident() - before < ALLOWED


def repeat(host: Host, method: str, message: bytes, **options: Any) -> Callable[[int], None]:
    def work(calls: int) -> None:
        host.log.records.clear()
        for _ in range(calls // 1000):
            host.ranks[1].run(
                lambda rank: [rank.python_exec(method, message, **options) for _ in range(1000)]
            )
        host.log.records.clear()

    return work


@pytest.mark.parametrize(
    "method",
    [
        "raises",
        "chained",
        "none",
        "absent",
        "exits",
        "huge",
        "edits_then_raises",
        "memory",
        "recursion",
    ],
)
def test_failures_leave_nothing(host: Host, method: str) -> None:
    calls = 2_000 if method == "recursion" else 100_000
    grows_little(repeat(host, method, INVITE), calls)
    assert host.call("fine").code == 7


@pytest.mark.parametrize(
    "options", [{}, {"extra": "some text"}, {"extra": "x" * 5000}], ids=["none", "short", "long"]
)
def test_a_million_calls_leave_nothing(host: Host, options: dict[str, str]) -> None:
    grows_little(repeat(host, "optional", INVITE, **options), 1_000_000)


def test_a_million_changing_messages_leave_nothing(host: Host) -> None:
    messages = [
        request(f"X-{number}: {'x' * number}", call_id=f"{number}@x") for number in range(999)
    ] + [OK]

    def work(calls: int) -> None:
        for _ in range(calls // 1000):
            host.ranks[1].run(lambda rank: rank.batch("fine", messages))

    grows_little(work, 1_000_000)


def test_engines_come_and_go() -> None:
    """Below 3.14 CPython keeps 2 to 6 MB of each ended interpreter: the bound is per rank."""

    def work(rounds: int) -> None:
        for _ in range(rounds):
            with Host(FAULTS, 2) as host:
                assert [result.code for result in host.each("fine")] == [7, 7]

    work(3)
    before = resident()
    rounds = 20
    work(rounds)
    assert resident() - before < rounds * 2 * 8 * MEGABYTE


def test_asyncio_in_eight_ranks_at_once(tmp_path: Path) -> None:
    script = tmp_path / "loops.py"
    script.write_text(
        "import asyncio\n"
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def go(self, msg):\n"
        "        async def work(): await asyncio.sleep(0); return 5\n"
        "        return asyncio.run(work())\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    with Host(script, 8) as host:
        for _ in range(1000):
            assert [result.code for result in host.each("go")] == [5] * 8
