"""Host functions: what arrives, what comes back, and what goes wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, errors
from support.host import Host
from support.messages import request

SCRIPT = """
import json

class H:
    def child_init(self, rank):
        return 0

    def call(self, msg, arguments):
        return msg.call_function(*json.loads(arguments))

    def odd(self, msg, which):
        value = {
            "bytes": b"x", "float": 1.5, "list": ["x"], "dict": {},
            "object": object(), "bool": True,
            "surrogate": "\\udcff", "lone": "\\ud800", "huge": 1 << 70,
            "top": 2**63 - 1, "nul": "a\\0b",
        }[which]
        return msg.call_function("seen", value)

    def odd_name(self, msg, which):
        names = {"int": 5, "none": None, "bytes": b"seen", "nul": "se\\0en", "empty": ""}
        return msg.call_function(names.get(which, "\\udcff"))

    def no_name(self, msg):
        return msg.call_function()

    def caught(self, msg, name):
        try:
            msg.call_function(name)
        except RuntimeError as error:
            return len(str(error))
        return -1

    def error_text(self, msg, name):
        try:
            msg.call_function(name)
        except RuntimeError as error:
            return msg.call_function("seen", str(error))
        return -1

    def reply_with_edits(self, msg):
        msg.append_header("X-One", "1")
        msg.rewrite_ruri("sip:two@example.net")
        return msg.call_function("look")

    def provided(self, msg):
        msg.call_function("append_hf", "X-Provided: yes\\r\\n")
        msg.call_function("remove_hf", "Max-Forwards")
        return 1

def mod_init():
    return H()
"""


class Functions:
    def __init__(self) -> None:
        self.seen_arguments: list[tuple[Any, ...]] = []
        self.looks: list[dict[str, Any]] = []
        self.answer: Any = 1
        self.kept: Any = None

    def seen(self, call: Any, *arguments: Any) -> Any:
        self.seen_arguments.append(arguments)
        return self.answer

    def look(self, call: Any) -> int:
        self.kept = call
        self.looks.append({
            "rank": call.rank,
            "method": call.method,
            "function": call.function,
            "edits": [(edit.name, edit.value) for edit in call.edits],
        })  # fmt: skip
        return 1

    def fails(self, call: Any) -> int:
        raise LookupError("the host function failed")

    def exits(self, call: Any) -> int:
        raise SystemExit(3)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Host, Functions]]:
    script, functions = tmp_path / "caller.py", Functions()
    script.write_text(SCRIPT, encoding="utf-8")
    names = ("seen", "look", "fails", "exits")
    with Host(script, functions={name: getattr(functions, name) for name in names}) as host:
        yield host, functions


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a"],
        ["a", None],
        [None, None, "c"],
        ["", "\u0395\u03bb", "x" * 10_000],
        [1, -1, 2**62],
        ["a"] * 8,
        ["a"] * 16,
    ],
)
def test_arguments_arrive(pair: tuple[Host, Functions], arguments: list[Any]) -> None:
    host, functions = pair
    result = host.call("call", extra=json.dumps(["seen", *arguments]))
    assert result.code == 1, result.error
    assert functions.seen_arguments == [tuple(arguments)]


@pytest.mark.parametrize(("which", "wanted"), [("surrogate", "\udcff"), ("top", 2**63 - 1)])
def test_odd_arguments_that_arrive(pair: tuple[Host, Functions], which: str, wanted: Any) -> None:
    host, functions = pair
    result = host.call("odd", extra=which)
    assert result.code == 1, result.error
    assert functions.seen_arguments == [(wanted,)]


@pytest.mark.parametrize(
    "which", ["bytes", "float", "list", "dict", "object", "bool", "nul", "lone", "huge"]
)
def test_odd_arguments_are_refused_by_name(pair: tuple[Host, Functions], which: str) -> None:
    host, functions = pair
    result = host.call("odd", extra=which)
    assert (result.code, result.outcome) == (-1, "raised")
    assert "seen" in result.error
    assert functions.seen_arguments == []
    assert host.call("call", extra='["seen"]').code == 1


@pytest.mark.parametrize("which", ["int", "none", "bytes", "nul", "empty", "odd"])
def test_odd_names_are_refused(pair: tuple[Host, Functions], which: str) -> None:
    host, _ = pair
    assert (host.call("odd_name", extra=which).code, host.call("no_name").code) == (-1, -1)
    assert host.call("call", extra='["seen"]').code == 1


@pytest.mark.parametrize("answer", [0, 1, -1, -5, 2**31 - 1, -(2**31), True])
def test_answers_come_back(pair: tuple[Host, Functions], answer: int) -> None:
    host, functions = pair
    functions.answer = answer
    assert host.call("call", extra='["seen"]').code == answer


def test_no_answer_stands_for_1(pair: tuple[Host, Functions]) -> None:
    host, functions = pair
    functions.answer = None
    assert host.call("call", extra='["seen"]').code == 1


@pytest.mark.parametrize("answer", ["1", 1.5, 2**31, 1 << 70, []])
def test_answers_that_are_no_int(pair: tuple[Host, Functions], answer: Any) -> None:
    host, functions = pair
    functions.answer = answer
    result = host.call("call", extra='["seen"]')
    assert (result.code, result.outcome) == (-1, "raised")
    assert "RuntimeError" in result.error
    functions.answer = 1
    assert host.call("call", extra='["seen"]').code == 1


@pytest.mark.parametrize("name", ["fails", "exits"])
def test_a_host_function_that_raises(pair: tuple[Host, Functions], name: str) -> None:
    """RuntimeError in the script, which may catch it; the host lives."""
    host, _ = pair
    assert host.call("caught", extra=name).code > 0
    result = host.call("call", extra=f'["{name}"]')
    assert (result.code, result.outcome) == (-1, "raised")
    assert "RuntimeError" in result.error


def test_the_scripts_error_names_the_hosts(pair: tuple[Host, Functions]) -> None:
    host, functions = pair
    host.call("error_text", extra="fails")
    ((text,),) = functions.seen_arguments
    assert "the host function failed" in text


def test_an_unknown_function_names_near_ones(pair: tuple[Host, Functions]) -> None:
    host, _ = pair
    result = host.call("call", extra='["sean"]')
    assert (result.code, result.outcome) == (-1, "raised")
    for part in ("RuntimeError", "sean", "seen"):
        assert part in result.error


def test_the_call_shows_who_asks(pair: tuple[Host, Functions]) -> None:
    host, functions = pair
    assert host.call("reply_with_edits").code == 1
    (look,) = functions.looks
    assert (look["rank"], look["method"], look["function"]) == (1, "reply_with_edits", "look")
    assert [value for _, value in look["edits"]] == ["1", "sip:two@example.net"]


def test_a_call_that_is_kept_is_over(pair: tuple[Host, Functions]) -> None:
    host, functions = pair
    host.call("reply_with_edits")
    with pytest.raises(RuntimeError):
        _ = functions.kept.edits


def test_functions_that_the_engine_provides(pair: tuple[Host, Functions]) -> None:
    host, _ = pair
    result = host.call("provided", request("X-First: 1"))
    assert result.code == 1, result.error
    assert b"X-Provided: yes\r\n" in result.rendered
    assert b"Max-Forwards" not in result.rendered
    assert result.rendered.endswith(b"\r\n\r\n")


def test_many_calls_with_and_without_arguments(pair: tuple[Host, Functions]) -> None:
    host, functions = pair
    for number in range(500):
        assert host.call("call", extra=f'["seen", "{number}", null]').code == 1
        assert host.call("call", extra='["seen"]').code == 1
    assert functions.seen_arguments[-2:] == [("499", None), ()]


def test_a_function_that_can_not_be_called(tmp_path: Path) -> None:
    script = tmp_path / "caller.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with pytest.raises(errors.ConfigError, match="name"):
        Host(script, functions={"name": 5})


def test_ranks_call_the_host_at_once(tmp_path: Path) -> None:
    """Four ranks and the main interpreter's GIL between them: no deadlock, nothing lost."""
    script, functions = tmp_path / "caller.py", Functions()
    script.write_text(SCRIPT, encoding="utf-8")
    with Host(script, 4, functions={"seen": functions.seen}) as host:
        for _ in range(200):
            assert [result.code for result in host.each("call", extra='["seen", "x"]')] == [1] * 4
    assert functions.seen_arguments == [("x",)] * 800


def test_optional_parameters(tmp_path: Path) -> None:
    """Every legal count of arguments, and None in each optional place."""
    script, seen = tmp_path / "caller.py", []
    script.write_text(SCRIPT, encoding="utf-8")

    def function(call: Any, one: str, two: int | None = None, three: str | None = None) -> int:
        seen.append((one, two, three))
        return 1

    right = [["a"], ["a", 2], ["a", None], ["a", 2, "c"], ["a", None, "c"], ["a", 2, None]]
    wrong = [[], ["a", 2, "c", "d"], [None], [5], ["a", "x"], ["a", 2, 3]]
    with Host(script, functions={"function": function}) as host:
        for arguments in right:
            result = host.call("call", extra=json.dumps(["function", *arguments]))
            assert result.code == 1, result.error
            assert seen[-1] == (*arguments, None, None)[:3]
        for arguments in wrong:
            result = host.call("call", extra=json.dumps(["function", *arguments]))
            assert (result.code, result.outcome) == (-1, "raised"), arguments
            assert "function" in result.error
        assert len(seen) == len(right)


VARIABLES = """
class H:
    def child_init(self, rank):
        return 0

    def get(self, msg, text):
        value = msg.get_pseudoVar(text)
        return msg.call_function("seen", value if value is not None else "None")

    def set(self, msg, text):
        return 1 if msg.set_pseudoVar(*text.split("=")) is None else -1

def mod_init():
    return H()
"""


def test_pseudo_variables_of_a_python_host(tmp_path: Path) -> None:
    script = tmp_path / "variables.py"
    script.write_text(VARIABLES, encoding="utf-8")
    seen: list[str] = []
    values = {"$ru": "sip:bob@example.org", "$odd": "caf\udce9"}

    def set_variable(call: Any, name: str, value: str) -> int:
        if name not in values:
            raise LookupError(f"there is no {name}")
        values[name] = value
        return 1

    functions = {
        "get_pseudoVar": lambda call, text: values.get(text),
        "set_pseudoVar": set_variable,
        "seen": lambda call, text: seen.append(text),
    }
    with Engine(script, ranks=1, functions=functions) as engine:
        for name in ("$ru", "$odd", "$missing"):
            assert engine.python_exec("get", request(), name).code == 1
        assert engine.python_exec("set", request(), "$ru=sip:other@example.net").code == 1
        assert engine.python_exec("get", request(), "$ru").code == 1
        wrong = engine.python_exec("set", request(), "$nothing=1")
        assert wrong.outcome == "raised" and "there is no $nothing" in (wrong.error or "")
    assert seen == ["sip:bob@example.org", "caf\udce9", "None", "sip:other@example.net"]


def test_pseudo_variables_of_a_host_without_any(tmp_path: Path) -> None:
    script = tmp_path / "variables.py"
    script.write_text(VARIABLES, encoding="utf-8")
    with Engine(script, ranks=1, functions={"seen": lambda call, text: 1}) as engine:
        for method in ("get", "set"):
            result = engine.python_exec(method, request(), "$ru=1")
            assert result.outcome == "raised" and "no pseudo-variables" in (result.error or "")
