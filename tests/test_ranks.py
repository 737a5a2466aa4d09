"""Ranks and threads: who may call what, when, and what an engine knows of it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, errors
from support.host import Host, RankThread, inline
from support.messages import INVITE, OK

FAULTS = Path(__file__).parent / "handlers" / "faults.py"

COUNTER = """
import threading
class H:
    def __init__(self): self.n = 0
    def child_init(self, rank):
        self.rank, self.thread = rank, threading.get_ident()
        return 0
    def count(self, msg):
        self.n += 1
        return self.n
    def same_thread(self, msg): return threading.get_ident() == self.thread
    def who(self, msg): return self.rank
def mod_init(): return H()
"""


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    script = tmp_path / "counter.py"
    script.write_text(COUNTER, encoding="utf-8")
    return script


def refused(work: Callable[[], Any]) -> None:
    """No call was made, and the error says why."""
    with pytest.raises(errors.RankError) as caught:
        work()
    assert str(caught.value)


def test_a_call_on_another_thread(counter: Path) -> None:
    with Host(counter) as host, ThreadPoolExecutor(1) as elsewhere:
        rank = host.ranks[1].run(lambda opened: opened)
        refused(lambda: rank.python_exec("count", INVITE))
        refused(lambda: elsewhere.submit(rank.python_exec, "count", INVITE).result(10))
        assert host.call("count").code == 1


def test_a_close_on_another_thread(counter: Path) -> None:
    with Host(counter) as host:
        rank = host.ranks[1].run(lambda opened: opened)
        with pytest.raises(errors.IsoexecError):
            rank.close()
        assert host.call("count").code == 1


def test_a_call_after_close(counter: Path) -> None:
    with Engine(str(counter), ranks=1, **inline({})) as engine:
        with engine.open_rank(1) as rank:
            assert rank.python_exec("count", INVITE).code == 1
        refused(lambda: rank.python_exec("count", INVITE))
        rank.close()
        refused(lambda: rank.python_exec("count", INVITE))


def test_a_call_after_the_engine_closed(counter: Path) -> None:
    with Engine(str(counter), ranks=1, **inline({})) as engine:
        with engine.open_rank(1) as rank:
            pass
    refused(lambda: rank.python_exec("count", INVITE))
    with pytest.raises(errors.IsoexecError):
        engine.open_rank(1)
    engine.close()


def test_the_same_thread_opens_a_rank_again(counter: Path) -> None:
    with Engine(str(counter), ranks=1, **inline({})) as engine:
        for _ in range(3):
            with engine.open_rank(1) as rank:
                assert rank.python_exec("who", INVITE).code == 1


@pytest.mark.parametrize("number", [0, -1, 3, 2**31, 2**40])
def test_a_rank_number_out_of_range(counter: Path, number: int) -> None:
    with (
        Engine(str(counter), ranks=2, **inline({})) as engine,
        pytest.raises((errors.IsoexecError, ValueError, OverflowError)),
    ):
        engine.open_rank(number)


def test_a_rank_is_opened_once(counter: Path) -> None:
    with Host(counter) as host:
        with pytest.raises(errors.IsoexecError):
            RankThread(host.engine, 1)
        assert host.call("count").code == 1


def test_a_rank_failed_while_another_serves(tmp_path: Path) -> None:
    script = tmp_path / "second.py"
    script.write_text(
        COUNTER.replace("self.rank,", "assert rank == 1, 'only one'; self.rank,"), encoding="utf-8"
    )
    with Host(script, [1]) as host, Engine(str(script), ranks=2, **inline({})) as other:
        with pytest.raises(errors.IsoexecError) as caught:
            RankThread(other, 2)
        assert "only one" in caught.value.traceback
        assert host.call("count").code == 1


def test_two_engines_with_different_scripts(counter: Path) -> None:
    with Host(counter, 2) as first, Host(FAULTS, 2) as second:
        for n in range(1, 50):
            assert [result.code for result in first.each("count")] == [n, n]
            assert [result.code for result in second.each("fine")] == [7, 7]
            assert second.call("count").outcome == "missing"
            assert first.call("fine").outcome == "missing"


def test_two_engines_with_one_script(counter: Path) -> None:
    with Host(counter) as first, Host(counter) as second:
        assert [first.call("count").code, first.call("count").code, second.call("count").code] == [
            1,
            2,
            1,
        ]


def test_engines_one_after_another(counter: Path) -> None:
    for _ in range(5):
        with Host(counter, 2) as host:
            assert [result.code for result in host.each("count")] == [1, 1]


def test_a_rank_never_changes_its_thread(counter: Path) -> None:
    with Host(counter, 4) as host:
        for _ in range(100):
            assert [result.code for result in host.each("same_thread")] == [1] * 4


def test_ranks_opened_at_once(counter: Path) -> None:
    for _ in range(3):
        with Engine(str(counter), ranks=8, **inline({})) as engine, ThreadPoolExecutor(8) as pool:
            ready = threading.Barrier(8)

            def serve(
                number: int, engine: Engine = engine, ready: threading.Barrier = ready
            ) -> int:
                ready.wait(30)
                with engine.open_rank(number) as rank:
                    return int(rank.python_exec("who", INVITE).code)

            assert list(pool.map(serve, range(1, 9))) == list(range(1, 9))


def test_a_batch(counter: Path) -> None:
    with Host(counter) as host:
        results = host.ranks[1].run(lambda rank: rank.batch("count", [INVITE] * 10))
        assert [result.code for result in results] == list(range(1, 11))
        assert host.ranks[1].run(lambda rank: rank.batch("count", [])) == []
        assert host.call("count").code == 11


def test_failures_in_a_batch_are_results(counter: Path) -> None:
    with Host(counter) as host:
        results = host.ranks[1].run(
            lambda rank: rank.batch("count", [INVITE, b"no message", INVITE])
        )
        assert [result.outcome for result in results] == ["returned", "malformed", "returned"]
        with pytest.raises(TypeError):
            host.ranks[1].run(lambda rank: rank.batch("count", [INVITE, 5]))
        assert host.call("count").code == 3


def test_addresses_and_route(tmp_path: Path) -> None:
    script = tmp_path / "addresses.py"
    script.write_text(
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def go(self, msg, wanted):\n"
        "        return 1 if repr((msg.src_address, msg.dst_address)) == wanted else -1\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    addresses = [
        (("192.0.2.1", 5060), ("198.51.100.5", 5080)),
        (("2001:db8::1", 1), ("2001:db8:0:0:0:0:0:ab", 65535)),
    ]
    shown = [
        (("192.0.2.1", 5060), ("198.51.100.5", 5080)),
        (("2001:DB8:0:0:0:0:0:1", 1), ("2001:DB8:0:0:0:0:0:AB", 65535)),
    ]
    with Host(script) as host:
        for (source, destination), wanted in zip(addresses, shown, strict=True):
            for route in ("request", "onreply", "failure", "branch"):
                result = host.call(
                    "go",
                    INVITE,
                    extra=repr(wanted),
                    route=route,
                    source=source,
                    destination=destination,
                )
                assert result.code == 1, result.error


@pytest.mark.parametrize(
    "options",
    [
        {"source": ("not an address", 1)},
        {"source": ("192.0.2.1", 70_000)},
        {"source": ("192.0.2.1", -1)},
        {"destination": ("192.0.2.256", 1)},
        {"route": "no such route"},
    ],
)
def test_wrong_addresses_and_routes(counter: Path, options: dict[str, Any]) -> None:
    with Host(counter) as host:
        with pytest.raises((errors.IsoexecError, ValueError, OverflowError)):
            host.call("count", **options)
        assert host.call("count").code == 1


def test_statistics(counter: Path) -> None:
    with Host(counter, 2) as host:
        for _ in range(5):
            host.call("count", rank=1)
        host.call("absent", rank=2)
        host.call("count", OK, rank=2)
        first, second = host.engine.stats()
        assert (first.number, second.number) == (1, 2)
        assert (first.calls, second.calls) == (5, 2)
        assert first.outcomes["returned"] == 5
        assert (second.outcomes["missing"], second.outcomes["returned"]) == (1, 1)
        assert first.open
        assert second.open


def test_time_is_measured_on_request(counter: Path) -> None:
    with Host(counter, timing="full") as host:
        assert host.call("count").elapsed_ns > 0
    with Host(counter, timing="off") as host:
        assert host.call("count").elapsed_ns is None
