"""Deadlines: what they end, what they can not end, and that they never reach another call."""

import contextlib
import functools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from isoexec import AsyncEngine, Engine
from support.host import LIMIT, Host, Records, recorded, wait_until
from support.messages import INVITE
from support.run import run_python
from support.scripts import runs

pytestmark = pytest.mark.usefixtures("no_thread_stays")
SCRIPT = str(Path(__file__).resolve().parent / "handlers" / "deadlines.py")
DEADLINE = 0.02


@dataclass
class Case:
    """One rank on one channel, with a way to call it, and what it logged."""

    engine: Engine
    log: Records
    call: Callable[..., Any]
    nested: list[Any]  # results of nested calls

    def counts(self) -> dict[str, int]:
        (row,) = self.engine.stats()
        return row.outcomes

    def expect_deadline(self, method: str, extra: str | None = None) -> Any:
        result = self.call(method, extra=extra)
        assert (result.outcome, result.code) == ("deadline", -1), (result, result.error)
        assert len(result.edits) == 0
        return result

    def expect_clean(self, calls: int = 200) -> None:
        """The calls after one that was ended are like any others."""
        for _ in range(calls):
            result = self.call("one")
            assert (result.outcome, result.code) == ("returned", 1), result.error

    def expect_nested(self, outcomes: list[str]) -> None:
        """How nested calls ended; the outer one's caller may have been answered before."""

        def ended() -> bool:
            return [result.outcome for result in self.nested] == outcomes

        assert wait_until(ended), self.nested


@contextlib.contextmanager
def case(channel: str, **settings: Any) -> Iterator[Case]:
    nested: list[Any] = []
    rank: Any = None

    def again(call: Any, method: str, extra: str | None = None) -> int:
        if channel == "inline":
            result = rank.python_exec(method, INVITE, extra=extra)
        else:
            result = engine.python_exec(method, INVITE, extra, rank=1)
        nested.append(result)
        return int(result.code)

    def pause(call: Any, seconds: str) -> int:
        time.sleep(float(seconds))
        return 1

    settings = {"deadline": DEADLINE, "grace": 10, **settings}
    settings["functions"] = {"again": again, "pause": pause}
    if channel == "inline":
        with Host(SCRIPT, **settings) as host:
            engine = host.engine
            rank = host.ranks[1].run(lambda opened: opened)
            yield Case(engine, host.log, host.call, nested)
    else:
        with recorded() as log, Engine(SCRIPT, ranks=1, **settings) as engine:
            call = functools.partial(queue_call, engine)
            yield Case(engine, log, call, nested)


def queue_call(engine: Engine, method: str, **options: Any) -> Any:
    return engine.python_exec(method, INVITE, rank=1, timeout=LIMIT, **options)


@pytest.fixture(params=["inline", "queue"])
def one_rank(request: pytest.FixtureRequest) -> Iterator[Case]:
    with case(request.param) as made:
        yield made


# ---- what is ended

ENDED = [
    "spin",
    "spin_with_edits",
    "calls_spin",
    "in_del",
    "in_exit",
    "in_index",
    "in_generator",
    "in_collector",
    "bare_except",
    "except_exception",
    "raises_another",
]


@pytest.mark.parametrize("method", ENDED)
def test_a_call_in_python_is_ended(one_rank: Case, method: str) -> None:
    for _ in range(3):
        result = one_rank.expect_deadline(method)
        assert "rank 1" in result.error
        assert f'python_exec("{method}")' in result.error
        assert "Call-ID test@192.0.2.1" in result.error
        assert "its deadline of 20ms" in result.error
        one_rank.expect_clean()
    assert one_rank.counts()["deadline"] == 3
    one_rank.log.wait("DeadlineExceeded" if method != "raises_another" else "SystemExit")


def test_the_log_says_where_it_was(one_rank: Case) -> None:
    """The caller of a queue rank may be answered before the traceback is made: the log has it."""
    one_rank.expect_deadline("calls_spin")
    one_rank.log.wait("in spin")
    one_rank.log.wait("OpenSIPS.DeadlineExceeded")


def test_the_exception_is_one(one_rank: Case) -> None:
    assert one_rank.call("imports").code == 1


def test_what_follows_in_a_call_is_clean_by_thousands(one_rank: Case) -> None:
    one_rank.expect_deadline("spin")
    one_rank.expect_clean(10_000)


def test_a_local_that_dies_at_the_end(one_rank: Case) -> None:
    """A __del__ that spins when the frame is gone: it is ended, the result stands."""
    result = one_rank.call("del_at_the_end")
    assert result.outcome in ("returned", "deadline")
    one_rank.expect_clean()


def test_a_busy_thread_of_the_script(one_rank: Case) -> None:
    assert wait_until(lambda: one_rank.call("start").code == 1)
    for _ in range(5):
        one_rank.expect_deadline("spin")
    assert wait_until(lambda: one_rank.call("stop").code == 1)
    one_rank.expect_clean()


def test_cleaning_up_is_let_alone(one_rank: Case) -> None:
    """A finally of some milliseconds runs to its end, then the call ends."""
    for _ in range(3):
        one_rank.call("cleans_up")
    assert one_rank.call("times_cleaned").code == 3


def test_exceptions_at_the_deadline_of_a_sleep(one_rank: Case) -> None:
    """C code that blocks is not interrupted: the exception comes when it returns, or the caller of
    a queue rank has its answer before."""
    result = one_rank.call("sleeps", extra="0.05")
    assert result.outcome in ("deadline", "returned")
    one_rank.expect_clean()


# ---- nested calls and host functions


def test_a_nested_call(one_rank: Case) -> None:
    """The outer deadline passes inside: the inner ends with it, and the outer too."""
    one_rank.expect_deadline("calls", "again spin")
    one_rank.expect_nested(["deadline"])
    one_rank.expect_clean()


def test_an_outer_call_that_goes_on_after_its_nested_one(one_rank: Case) -> None:
    for method in ("calls_then_spins", "catches"):
        one_rank.expect_deadline(method, "again spin")
        one_rank.expect_deadline(method, "again one")
        one_rank.expect_clean()


def test_three_deep(one_rank: Case) -> None:
    one_rank.expect_deadline("calls", "again calls_again_spin")
    one_rank.expect_nested(["deadline", "deadline"])
    one_rank.expect_clean()


def test_a_host_function_that_takes_too_long(one_rank: Case) -> None:
    one_rank.expect_deadline("calls_then_spins", "pause 0.05")
    one_rank.expect_clean()


def test_a_deadline_that_passed_before_a_nested_call(one_rank: Case) -> None:
    def late(method: str) -> None:
        one_rank.expect_deadline("calls_then_spins", f"pause 0.0{random.randint(15, 25)}")
        one_rank.call(method)

    for _ in range(5):
        late("one")
    one_rank.expect_clean()


# ---- it never reaches another call

AT_ONCE = 8


@pytest.mark.parametrize(
    "tries",
    [
        pytest.param(2_000, id="some"),
        pytest.param(
            1_000_000, id="million", marks=[pytest.mark.stress, pytest.mark.timeout(3600)]
        ),
    ],
)
def test_calls_that_end_at_their_deadline(tries: int) -> None:
    """The exception meets the call or nobody: the next one never sees it.

    A call ends with the deadline only if it took so long itself, which on a busy machine even a
    short one may.
    """
    deadline_ns, ends = 2_000_000, {"deadline": 0, "returned": 0}

    def work(rank: Any) -> list[str]:
        seen = []
        for _ in range(tries // AT_ONCE):
            ns = deadline_ns + random.randint(-60_000, 120_000)
            seen.append(rank.python_exec("until", INVITE, extra=str(ns)).outcome)
            after = rank.python_exec("one", INVITE)
            if after.outcome != "returned":
                assert (after.outcome, after.elapsed_ns > deadline_ns) == ("deadline", True), after
        return seen

    options = {"timing": "full", "log_level": "alert"}
    with Host(SCRIPT, ranks=AT_ONCE, deadline="2ms", grace=10, **options) as host:
        answers = [rank.submit(work) for rank in host.ranks.values()]
        for answer in answers:
            for outcome in answer.result():
                ends[outcome] += 1
    assert ends["deadline"] > 0 < ends["returned"], ends  # both sides of it were met


# ---- soft deadlines


@pytest.mark.parametrize("channel", ["inline", "queue"])
def test_a_soft_deadline_logs_the_stack_once(channel: str) -> None:
    with case(channel, deadline="none", soft_deadline="10ms") as one_rank:
        result = one_rank.call("until", extra="60000000")
        assert (result.outcome, result.code) == ("returned", 1)
        one_rank.log.wait("Call-ID test@192.0.2.1: takes longer than its soft")
        one_rank.log.wait("in until")
        one_rank.expect_clean()
        heads = [text for text in one_rank.log.texts() if "its soft deadline of 10ms" in text]
        assert len(heads) == 1


def test_soft_and_hard(one_rank: Case) -> None:
    with case("queue", soft_deadline="5ms") as both:
        both.expect_deadline("spin")
        both.log.wait("its soft deadline of 5ms")
        both.log.wait("its deadline of 20ms")


def test_a_soft_deadline_with_a_busy_thread() -> None:
    with case("queue", deadline="200ms", soft_deadline="5ms") as one_rank:
        assert wait_until(lambda: one_rank.call("start").code == 1)
        one_rank.expect_deadline("spin")
        assert wait_until(lambda: one_rank.call("stop").code == 1)
        one_rank.log.wait("in spin")


# ---- what can not be ended


def test_the_caller_of_a_queue_rank_is_answered() -> None:
    """At the deadline, while the handler waits on; its late result is dropped."""
    with case("queue", grace=10) as one_rank:
        begin = time.monotonic()
        result = one_rank.expect_deadline("waits_then_reads", "pause 1.5")
        assert time.monotonic() - begin < 1.4
        assert result.error.endswith("the handler still runs")
        assert one_rank.call("was_read").code == 1  # waits until the handler is back
        one_rank.log.wait("after its caller was told")
        assert one_rank.counts()["deadline"] == 1


def test_a_call_that_swallows_it_and_returns() -> None:
    with case("inline", grace=10) as one_rank:
        result = one_rank.call("swallows")
        assert (result.outcome, result.code) == ("returned", 5)
        one_rank.expect_clean()


def test_an_inline_rank_is_marked_and_freed() -> None:
    events: list[tuple[str, int]] = []

    def note(event: str, rank: int) -> None:
        events.append((event, rank))

    with case("inline", grace="50ms", on_event=note) as one_rank:
        answer = threading.Thread(target=one_rank.call, args=("sleeps",), kwargs={"extra": "0.5"})
        answer.start()
        assert wait_until(lambda: one_rank.engine.stats()[0].stuck)
        answer.join(LIMIT)
        assert wait_until(lambda: events == [("stuck", 1), ("freed", 1)]), events
        assert not one_rank.engine.stats()[0].stuck
        line = one_rank.log.wait("stuck: took longer than its deadline of 20ms")
        assert 'python_exec("sleeps"), Call-ID test@192.0.2.1' in line
        one_rank.log.wait("the rank serves again")
        one_rank.expect_clean()


def test_a_stuck_queue_rank_is_kept() -> None:
    events: list[tuple[str, int]] = []

    def note(event: str, rank: int) -> None:
        events.append((event, rank))

    with case("queue", grace="50ms", on_stuck="keep", on_event=note) as one_rank:
        one_rank.call("identity")
        one_rank.expect_deadline("sleeps", "0.5")
        assert one_rank.call("identity").code == 2  # by the same interpreter, when it is back
        assert wait_until(lambda: events == [("stuck", 1), ("freed", 1)]), events


@pytest.mark.parametrize("method", ["sleeps", "regex"])
def test_a_stuck_queue_rank_is_replaced(method: str) -> None:
    """The new one serves the calls that wait; the old one's thread leaves when its call ends."""
    events: list[tuple[str, int]] = []

    def note(event: str, rank: int) -> None:
        events.append((event, rank))

    extra = None if method == "regex" else "1"
    with case("queue", grace="60ms", on_event=note) as one_rank:
        assert [one_rank.call("identity").code for _ in range(3)] == [1, 2, 3]
        before = one_rank.engine.stats()[0].calls
        tasks = [one_rank.engine.submit(method, INVITE, extra, rank=1)]
        tasks += [one_rank.engine.submit("identity", INVITE, rank=1) for _ in range(5)]
        results = [task.result(LIMIT) for task in tasks]
        assert results[0].outcome == "deadline"
        assert [result.code for result in results[1:]] == [1, 2, 3, 4, 5]
        assert wait_until(lambda: events == [("stuck", 1), ("replaced", 1)]), events
        (row,) = one_rank.engine.stats()
        assert (row.number, row.restarts, row.stuck) == (1, 1, False)
        assert (row.calls, row.outcomes["deadline"]) == (before + 6, 1)
        one_rank.log.wait("has ended after all")
        one_rank.expect_clean()


def test_replaced_again_and_again() -> None:
    with case("queue", grace="20ms") as one_rank:
        for count in range(1, 6):
            one_rank.expect_deadline("sleeps", "0.3")
            assert one_rank.call("identity").code == 1
            assert one_rank.engine.stats()[0].restarts == count


def test_other_ranks_do_not_wait() -> None:
    with recorded(), Engine(SCRIPT, ranks=2, deadline=DEADLINE, grace=5) as engine:
        held = engine.submit("sleeps", INVITE, "2", rank=1)
        begin = time.monotonic()
        for _ in range(1000):
            assert engine.python_exec("who", INVITE, rank=2).code == 2
            assert engine.python_exec("who", INVITE).code == 2
        assert time.monotonic() - begin < 1.9
        assert held.result(LIMIT).outcome == "deadline"


def test_a_replacement_whose_script_is_broken(tmp_path: Path) -> None:
    """Calls are refused, not lost, until the script is whole again."""
    script = tmp_path / "broken.py"
    whole = Path(SCRIPT).read_text(encoding="utf-8")
    script.write_text(whole, encoding="utf-8")
    with recorded() as log, Engine(script, ranks=1, deadline=DEADLINE, grace="30ms") as engine:
        script.write_text("raise LookupError('broken meanwhile')", encoding="utf-8")
        assert engine.python_exec("sleeps", INVITE, "0.5").outcome == "deadline"
        log.wait("no rank could take over")
        with pytest.raises(Exception, match="not in a state"):
            engine.python_exec("one", INVITE, rank=1, timeout=LIMIT)
        script.write_text(whole, encoding="utf-8")

        def serves() -> bool:
            try:
                return engine.python_exec("one", INVITE, rank=1, timeout=LIMIT).code == 1
            except Exception:
                return False

        assert wait_until(serves, LIMIT)


# ---- close


@pytest.mark.parametrize("on_stuck", ["replace", "keep"])
def test_close_with_a_stuck_rank(on_stuck: str) -> None:
    with recorded():
        engine = Engine(SCRIPT, ranks=2, deadline=DEADLINE, grace="200ms", on_stuck=on_stuck)
        held = engine.submit("sleeps", INVITE, "4", rank=1)
        assert held.result(LIMIT).outcome == "deadline"
        if on_stuck == "replace":
            assert wait_until(lambda: engine.stats()[0].restarts == 1)
        begin = time.monotonic()
        assert engine.close() == 1
        assert time.monotonic() - begin < 3.5


def test_close_ends_a_spinning_call_at_its_deadline() -> None:
    with recorded(), Engine(SCRIPT, ranks=1, deadline="100ms", grace=30) as engine:
        engine.submit("spin", INVITE)
        time.sleep(0.03)
        assert engine.close() == 0


EXITS = """
import sys, time
from isoexec import Engine
from support.messages import INVITE
engine = Engine(sys.argv[1], ranks=2, deadline=0.02, grace=0.1, on_stuck=sys.argv[2])
assert engine.submit("sleeps", INVITE, "3", rank=1).result().outcome == "deadline"
time.sleep(0.3)
sys.exit(9)
"""


@pytest.mark.parametrize("on_stuck", ["replace", "keep"])
def test_the_exit_code_with_a_stuck_rank(on_stuck: str, tmp_path: Path) -> None:
    ended = run_python(EXITS, tmp_path, SCRIPT, on_stuck).expect(9)
    assert "Fatal Python error" not in ended.err


# ---- the rest


def test_async_engine() -> None:
    async def main() -> list[str]:
        async with AsyncEngine(SCRIPT, ranks=2, deadline=DEADLINE, grace=5) as engine:
            outcomes = []

            async def one(method: str, extra: str | None = None) -> None:
                outcomes.append((await engine.python_exec(method, INVITE, extra)).outcome)

            async with anyio.create_task_group() as group:
                group.start_soon(one, "spin")
                group.start_soon(one, "sleeps", "0.3")
            await one("one")
            return outcomes

    with recorded():
        assert anyio.run(main) == ["deadline", "deadline", "returned"]


def test_deadlines_differ_by_rank() -> None:
    with recorded(), Engine(SCRIPT, ranks=2, deadline="10ms", grace=5) as engine:
        for rank in (1, 2):
            assert engine.python_exec("spin", INVITE, rank=rank).outcome == "deadline"


def test_after_a_pause_the_watchdog_is_there(one_rank: Case) -> None:
    """It sleeps after a second without calls; the first call wakes it."""
    for _ in range(runs(2)):
        time.sleep(1.3)
        one_rank.expect_deadline("spin")


def test_many_calls_within_their_deadline(one_rank: Case) -> None:
    one_rank.expect_clean(20_000)
    assert one_rank.counts()["deadline"] == 0
