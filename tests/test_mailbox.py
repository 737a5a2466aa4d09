"""Looking into a rank, from any thread, while it works."""

import platform
import time
from collections.abc import Iterator
from typing import Any

import pytest

from isoexec import Engine, errors
from support.host import Host
from support.messages import INVITE
from support.queues import BASIC, Gate, in_threads


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def engine(gate: Gate) -> Iterator[Engine]:
    with Engine(BASIC, ranks=2, allow_look=True, functions={"gate": gate}) as engine:
        yield engine
        gate.open()


def test_versions(engine: Engine) -> None:
    assert platform.python_version() in str(engine.look(1, "versions"))


def test_modules(engine: Engine) -> None:
    assert {"OpenSIPS", "hashlib"} <= set(engine.look(1, "modules")["modules"])


def test_memory(engine: Engine) -> None:
    assert engine.look(2, "memory")["blocks"] > 1000
    assert engine.stats()[1].blocks > 1000


def test_threads(engine: Engine) -> None:
    assert engine.python_exec("start", INVITE, rank=1).code == 1
    try:
        assert "(work)" in str(engine.look(1, "threads"))
    finally:
        assert engine.python_exec("stop", INVITE, rank=1).code == 1


@pytest.mark.parametrize(
    ("snippet", "answer"),
    [
        ("result = 5", 5),
        ("import sys; result = sys.version_info[0]", 3),
        ("def f(n): return [n] * 2\nresult = {'a': f(1), 'b': None}", {"a": [1, 1], "b": None}),
        ("result = 'Ελλάδα \\udcff'.encode('utf-8', 'replace').decode()", "Ελλάδα ?"),
        ("pass", None),
    ],
)
def test_a_snippet(engine: Engine, snippet: str, answer: Any) -> None:
    assert engine.look(1, "run", snippet) == answer


@pytest.mark.parametrize(
    "snippet",
    ["raise LookupError('oh')", "no python (", "raise SystemExit", "1/0"],
)
def test_a_snippet_that_fails(engine: Engine, snippet: str) -> None:
    with pytest.raises(errors.FunctionError):
        engine.look(1, "run", snippet)
    assert engine.look(1, "run", "result = 2") == 2
    assert engine.python_exec("one", INVITE, rank=1).code == 1


def test_a_snippet_leaves_the_script_alone(engine: Engine) -> None:
    engine.look(1, "run", "counted = 5; one = 6; result = 1")
    assert engine.python_exec("count", INVITE, rank=1).code == 1


def test_a_snippet_needs_permission() -> None:
    with Engine(BASIC, ranks=1) as engine:
        with pytest.raises(errors.IsoexecError) as caught:
            engine.look(1, "run", "result = 1")
        assert "allow_look" in str(caught.value)
        assert engine.look(1, "memory")


@pytest.mark.parametrize(("rank", "what"), [(0, "memory"), (3, "memory"), (1, "everything")])
def test_a_look_at_nothing(engine: Engine, rank: int, what: str) -> None:
    with pytest.raises(errors.ArgumentError):
        engine.look(rank, what)


def test_a_large_answer_is_whole(engine: Engine) -> None:
    assert engine.look(1, "run", "result = list(range(100_000))") == list(range(100_000))


def test_a_busy_rank(engine: Engine, gate: Gate) -> None:
    held = engine.submit("calls", INVITE, "gate", rank=1)
    gate.wait()
    with pytest.raises(TimeoutError):
        engine.look(1, "memory", timeout=0.05)
    assert engine.look(2, "memory")
    gate.open()
    assert held.result().code == 1
    assert engine.look(1, "memory")


def test_looks_while_calls_run(engine: Engine) -> None:
    def work(number: int) -> bool:
        if number % 4 == 0:
            return bool(engine.look(number // 4 % 2 + 1, "modules", timeout=60))
        return bool(engine.python_exec("number", INVITE, str(number)).code == number)

    assert all(in_threads(8, work, range(1, 801)))


def test_an_inline_rank_answers_before_its_next_call() -> None:
    with Host(BASIC) as host:
        results: list[Any] = in_threads(
            2,
            lambda n: host.engine.look(1, "memory", timeout=60) if n else call_until_seen(host),
            [1, 0],
        )
        assert all(results)


def call_until_seen(host: Host) -> bool:
    for _ in range(100):
        assert host.call("one").code == 1
        time.sleep(0.005)
    return True


def test_no_look_after_close() -> None:
    with Engine(BASIC, ranks=1) as engine:
        pass
    with pytest.raises(errors.RankError):
        engine.look(1, "memory")
