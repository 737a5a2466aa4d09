"""Host functions of queue ranks: they raise, block, answer wrongly, and call other ranks."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from isoexec import Engine
from support.messages import INVITE
from support.queues import BASIC, Passes, in_threads

RANKS = 3


class Functions:
    def __init__(self) -> None:
        self.pass_on = Passes()
        self.answer: Any = 1
        self.inside = 0
        self.most = 0
        self.lock = threading.Lock()

    def fails(self, call: Any) -> int:
        raise LookupError("the host function failed")

    def odd(self, call: Any) -> Any:
        return self.answer

    def slow(self, call: Any, ms: str) -> int:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(int(ms) / 1000)
        with self.lock:
            self.inside -= 1
        return int(ms)

    def who(self, call: Any) -> int:
        return int(call.rank)


@pytest.fixture
def pair() -> Iterator[tuple[Engine, Functions]]:
    functions = Functions()
    table = {name: getattr(functions, name) for name in ("fails", "odd", "slow", "who")}
    with Engine(BASIC, ranks=RANKS, functions={"pass": functions.pass_on, **table}) as engine:
        functions.pass_on.engine = engine
        yield engine, functions


def code(engine: Engine, text: str, rank: int | None = 1, method: str = "calls") -> int:
    result = engine.python_exec(method, INVITE, text, rank=rank)
    return int(result.code)


def test_the_call_names_its_rank(pair: tuple[Engine, Functions]) -> None:
    engine, _ = pair
    assert [code(engine, "who", rank) for rank in (1, 2, 3)] == [1, 2, 3]


def test_a_function_that_raises(pair: tuple[Engine, Functions]) -> None:
    engine, _ = pair
    result = engine.python_exec("calls", INVITE, "fails")
    assert (result.code, result.outcome) == (-1, "raised")
    assert "the host function failed" in result.error
    assert code(engine, "fails", method="caught") == -7
    assert code(engine, "absent", method="caught") == -7


@pytest.mark.parametrize("answer", ["1", 1.5, 2**31, [], b"x"], ids=str)
def test_an_answer_of_the_wrong_type(pair: tuple[Engine, Functions], answer: Any) -> None:
    engine, functions = pair
    functions.answer = answer
    result = engine.python_exec("calls", INVITE, "odd")
    assert (result.code, result.outcome) == (-1, "raised")
    assert "odd" in result.error
    functions.answer = None
    assert code(engine, "odd") == 1


def test_functions_that_block_run_at_once(pair: tuple[Engine, Functions]) -> None:
    engine, functions = pair
    answers = in_threads(RANKS, lambda n: code(engine, "slow 300", n), range(1, RANKS + 1))
    assert answers == [300] * RANKS
    assert functions.most == RANKS


# ---- calls in calls ----


def test_its_own_rank(pair: tuple[Engine, Functions]) -> None:
    engine, functions = pair
    assert code(engine, "pass 1 who") == 1
    assert code(engine, "pass 1 calls pass 1 calls pass 1 number 77") == 77
    assert functions.pass_on.refusals == []


def test_another_rank(pair: tuple[Engine, Functions]) -> None:
    engine, _ = pair
    assert code(engine, "pass 2 who") == 2
    assert code(engine, "pass 2 calls pass 3 who") == 3
    assert code(engine, "pass 2 raises") == -1
    assert code(engine, "pass 0 who") in (2, 3)
    assert code(engine, "pass 2 calls pass 0 who") == 3


def test_a_cycle_is_an_error(pair: tuple[Engine, Functions]) -> None:
    engine, functions = pair
    assert code(engine, "pass 2 calls pass 1 who") == -100
    assert code(engine, "pass 2 calls pass 3 calls pass 1 who") == -100
    assert set(functions.pass_on.refusals) == {"ECYCLE"}  # of whichever rank saw it first
    assert code(engine, "pass 2 who") == 2


def test_ranks_that_call_each_other(pair: tuple[Engine, Functions]) -> None:
    """Each call is answered or refused as a cycle; none hangs."""
    engine, functions = pair

    def work(number: int) -> bool:
        rank = number % RANKS + 1
        other = rank % RANKS + 1
        return code(engine, f"pass {other} who", rank) in (other, -100)

    assert all(in_threads(RANKS, work, range(600)))
    assert set(functions.pass_on.refusals) <= {"ECYCLE"}


def three_deep(engine: Engine, count: int) -> None:
    def work(number: int) -> list[int]:
        own = number % RANKS + 1
        return [
            code(engine, f"pass {own} calls pass {own} calls pass {own} number {number}", own)
            for _ in range(count // RANKS)
        ]

    numbers = range(1, RANKS + 1)
    assert in_threads(RANKS, work, numbers) == [[n] * (count // RANKS) for n in numbers]
    for _ in range(count // 10):
        assert code(engine, "pass 2 calls pass 3 calls pass 3 who", 1) == 3


def test_three_deep_beside_busy_threads(pair: tuple[Engine, Functions]) -> None:
    engine, functions = pair
    for rank in range(1, RANKS + 1):
        assert engine.python_exec("start", INVITE, rank=rank).code == 1
    try:
        three_deep(engine, 60)
    finally:
        for rank in range(1, RANKS + 1):
            assert engine.python_exec("stop", INVITE, rank=rank).code == 1
    three_deep(engine, 3000)
    assert functions.pass_on.refusals == []


@pytest.mark.stress
@pytest.mark.timeout(3600)
def test_three_deep_a_hundred_thousand_times(pair: tuple[Engine, Functions]) -> None:
    engine, functions = pair
    three_deep(engine, 100_000)
    assert functions.pass_on.refusals == []


def test_a_function_may_submit_and_leave(pair: tuple[Engine, Functions]) -> None:
    engine, _ = pair
    handles: list[Any] = []

    def later(call: Any, text: str) -> int:
        handles.append(other.submit("number", INVITE, text))
        return 1

    with Engine(BASIC, ranks=1, functions={"later": later}) as other:
        for number in range(1, 101):
            assert code(other, f"later {number}") == 1
        assert [handle.result(60).code for handle in handles] == list(range(1, 101))
    assert engine.python_exec("one", INVITE).code == 1


def test_two_engines_that_call_each_other(pair: tuple[Engine, Functions]) -> None:
    engine, functions = pair
    back = Passes()
    with Engine(BASIC, ranks=1, functions={"pass": back}) as other:
        back.engine = engine
        functions.pass_on.engine = other
        assert code(engine, "pass 1 calls pass 2 who") == 2
        assert code(engine, "pass 1 calls pass 1 who") == -100
        assert {*back.refusals, *functions.pass_on.refusals} == {"ECYCLE"}
        functions.pass_on.engine = engine
