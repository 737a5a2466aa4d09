"""Calls inside calls: a host function calls python_exec on the same rank again."""

from pathlib import Path
from typing import Any

import pytest

from isoexec import errors
from support.host import Host
from support.messages import INVITE, request

SCRIPT = """
import threading, time
class H:
    def child_init(self, rank):
        self.end = threading.Event()
        return 0
    def start(self, msg):
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return 1
    def work(self):
        while not self.end.wait(0.0005):
            sum(range(1000))
    def stop(self, msg):
        self.end.set()
        self.thread.join()
        return 1
    def outer(self, msg, what):
        msg.append_header("X-Outer", "before")
        code = msg.call_function("again", what)
        msg.append_header("X-Outer", "after")
        return code
    def good(self, msg):
        msg.append_header("X-Inner", "good")
        msg.rewrite_ruri("sip:inner@example.net")
        return 5
    def bad(self, msg):
        msg.append_header("X-Inner", "bad")
        msg.rewrite_ruri("sip:bad@example.net")
        raise ValueError("in the inner call")
    def deep(self, msg, left):
        if int(left) == 0:
            return 100
        return msg.call_function("deeper", str(int(left) - 1)) + 1
    def endless(self, msg):
        return msg.call_function("endless")
    def other(self, msg):
        mine = msg.getHeader("Call-ID")
        code = msg.call_function("other_message")
        return code if msg.getHeader("Call-ID") == mine == "outer@example.net" else -9
    def inner(self, msg):
        return 4 if msg.getHeader("Call-ID") == "inner@example.net" else -8
    def edits(self, msg):
        msg.rewrite_ruri("sip:outer@example.net")
        return msg.call_function("other_message")
def mod_init(): return H()
"""


class Nested:
    """Host functions that call back into the rank which called them."""

    def __init__(self) -> None:
        self.rank: Any = None
        self.results: list[Any] = []
        self.refusals: list[str] = []

    def again(self, call: Any, method: str) -> int:
        return self._call(method, INVITE)

    def deeper(self, call: Any, left: str) -> int:
        return self._call("deep", INVITE, extra=left)

    def endless(self, call: Any) -> int:
        return self._call("endless", INVITE)

    def other_message(self, call: Any) -> int:
        return self._call("inner", request(call_id="inner@example.net"))

    def _call(self, *arguments: Any, **options: Any) -> int:
        try:
            result = self.rank.python_exec(*arguments, **options)
        except errors.RankError as error:
            self.refusals.append(str(error))
            return -1
        self.results.append(result)
        return int(result.code)


@pytest.fixture
def nested(tmp_path: Path) -> Any:
    script, functions = tmp_path / "nested.py", Nested()
    script.write_text(SCRIPT, encoding="utf-8")
    names = ("again", "deeper", "endless", "other_message")
    with Host(script, functions={name: getattr(functions, name) for name in names}) as host:
        functions.rank = host.ranks[1].run(lambda rank: rank)
        yield host, functions


def test_a_nested_call_returns(nested: Any) -> None:
    host, functions = nested
    result = host.call("outer", extra="good")
    assert (result.code, result.outcome) == (5, "returned"), result.error
    assert functions.results[0].code == 5


def test_edits_of_a_nested_call_that_raised_are_dropped(nested: Any) -> None:
    host, functions = nested
    result = host.call("outer", extra="bad")
    assert result.code == -1
    assert result.outcome == "returned"
    assert "in the inner call" in functions.results[0].error
    assert [(edit.name, edit.value) for edit in result.edits] == [
        ("X-Outer", "before"),
        ("X-Outer", "after"),
    ]
    assert result.new_uri is None


def test_a_nested_call_of_a_missing_method(nested: Any) -> None:
    host, functions = nested
    result = host.call("outer", extra="absent")
    assert (result.code, result.outcome) == (-1, "returned")
    assert functions.results[0].outcome == "missing"


@pytest.mark.parametrize("busy", [False, True], ids=["alone", "busy thread"])
def test_three_deep(nested: Any, busy: bool) -> None:
    host, _ = nested
    if busy:
        assert host.call("start").code == 1
    for _ in range(50):
        result = host.call("deep", extra="3")
        assert result.code == 103, result.error
    if busy:
        assert host.call("stop").code == 1


def test_the_depth_has_a_limit(nested: Any) -> None:
    host, functions = nested
    result = host.call("endless")
    assert result.code == -1
    (refusal,) = functions.refusals
    assert "deep" in refusal
    assert [inner.code for inner in functions.results] == [-1] * 7
    assert host.call("deep", extra="3").code == 103


def test_a_smaller_depth_limit(tmp_path: Path) -> None:
    script, functions = tmp_path / "nested.py", Nested()
    script.write_text(SCRIPT, encoding="utf-8")
    with Host(script, functions={"deeper": functions.deeper}, max_depth=2) as host:
        functions.rank = host.ranks[1].run(lambda rank: rank)
        assert host.call("deep", extra="1").code == 101
        assert host.call("deep", extra="2").code == -1 + 1 + 1


def test_a_nested_call_has_its_own_message(nested: Any) -> None:
    host, _ = nested
    result = host.call("other", request(call_id="outer@example.net"))
    assert result.code == 4, result.error


def test_edits_of_the_outer_message_survive_a_call_with_another(nested: Any) -> None:
    host, functions = nested
    result = host.call("edits", request(call_id="outer@example.net"))
    assert result.code == 4
    assert result.new_uri == "sip:outer@example.net"
    assert functions.results[0].new_uri is None


def test_a_nested_call_on_another_rank_is_refused(tmp_path: Path) -> None:
    """That rank belongs to another thread: an error, not a deadlock."""
    script = tmp_path / "nested.py"
    script.write_text(SCRIPT, encoding="utf-8")
    seen: list[Any] = []
    other: list[Any] = []

    def again(call: Any, method: str) -> int:
        try:
            other[0].python_exec(method, INVITE)
        except errors.RankError as error:
            seen.append(error.code)
        return 3

    with Host(script, 2, functions={"again": again}) as host:
        other.append(host.ranks[2].run(lambda rank: rank))
        assert host.call("outer", extra="good").code == 3
        assert seen == ["ETHREAD"]
