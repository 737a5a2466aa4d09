"""isoexec.interpreters: one behaviour on every CPython."""

import copy
import functools
import importlib
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isoexec.errors import IsoexecError

if sys.version_info < (3, 14):
    pytest.importorskip("backports.interpreters", reason="pip install isoexec[interpreters]")

from isoexec import interpreters
from isoexec.interpreters import (
    ExecutionFailed,
    Interpreter,
    InterpreterError,
    InterpreterNotFoundError,
    NotShareableError,
    NotSupportedError,
    QueueEmpty,
    QueueFull,
)

MODULE = """
FACTOR = 3

class Box:
    def __init__(self, value, *, scale=1):
        self.value = value * scale
    def times(self, count):
        return self.value * count * FACTOR
    def __eq__(self, other):
        return self.value == other.value

class Closed:
    def __reduce__(self):
        return int, ("no number",)

def scaled(number, by=2, *, add=0):
    return number * by * FACTOR + add

def factorial(number):
    return 1 if number < 2 else number * factorial(number - 1)
"""


THREADS = """
import concurrent.futures, threading, time
concurrent.futures.ThreadPoolExecutor(2).submit(time.sleep, 0.1)
threading.Thread(target=time.sleep, args=(0.3,)).start()
"""


@pytest.fixture
def interpreter() -> Iterator[Interpreter]:
    with interpreters.create() as made:
        yield made


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A module that interpreters can import, made before they are."""
    (tmp_path / "work_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("work_module")
    del sys.modules["work_module"]


def test_the_backend_is_named() -> None:
    name, version = interpreters.backend
    expected = (
        "concurrent.interpreters" if sys.version_info >= (3, 14) else "backports-interpreters"
    )
    assert name == expected
    assert version[0].isdigit()
    assert interpreters.available
    assert interpreters.has_queues
    assert interpreters.has_queue_sizes == (sys.version_info >= (3, 13))


def test_interpreters_are_listed_while_they_live() -> None:
    main = interpreters.get_main()
    assert interpreters.get_current() is main
    with interpreters.create() as first, interpreters.create() as second:
        assert first.id != second.id
        listed = interpreters.list_all()
        assert main in listed
        assert first in listed
        assert second in listed
        assert repr(first) == f"<Interpreter {first.id}>"
    assert not {first, second} & set(interpreters.list_all())


def test_what_exec_leaves_stays(interpreter: Interpreter) -> None:
    interpreter.exec("total = 6 * 7")
    interpreter.exec("total += 1\nassert total == 43 and __name__ == '__main__'")
    with interpreters.create() as other, pytest.raises(ExecutionFailed, match="NameError"):
        other.exec("total")


@pytest.mark.parametrize("code", ["a =", "  a = 1", "a\0b"])
def test_code_that_does_not_compile_is_a_syntax_error(code: str, interpreter: Interpreter) -> None:
    with pytest.raises(SyntaxError):
        interpreter.exec(code)
    with pytest.raises(TypeError, match="not int"):
        interpreter.exec(5)  # type: ignore[arg-type]
    interpreter.exec("pass")


def test_what_code_raises_is_told(interpreter: Interpreter) -> None:
    with pytest.raises(ExecutionFailed) as caught:
        interpreter.exec("def find():\n    raise LookupError('no such row')\nfind()")
    error = caught.value
    assert (error.type_name, error.text) == ("LookupError", "no such row")
    assert error.args == ("LookupError: no such row",)
    assert error.traceback.startswith("Traceback (most recent call last):\n")
    assert ", line 2, in find\n" in error.traceback
    assert error.traceback.endswith("LookupError: no such row")
    assert "_isoexec" not in error.traceback and "<isoexec" not in error.traceback
    assert error.traceback in str(error)
    assert isinstance(error, InterpreterError) and isinstance(error, IsoexecError)
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.type_name, twin.text, twin.traceback) == (
        "LookupError",
        error.text,
        error.traceback,
    )


def exit_with_three() -> None:
    import sys

    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def chain() -> None:
    try:
        [].pop()
    except IndexError as error:
        raise ValueError("outer") from error


@pytest.mark.parametrize(
    ("function", "name", "text"),
    [
        (exit_with_three, "SystemExit", "3"),
        (interrupt, "KeyboardInterrupt", ""),
        (chain, "ValueError", "outer"),
    ],
)
def test_a_callable_that_raises(
    function: functools.partial[None], name: str, text: str, interpreter: Interpreter
) -> None:
    with pytest.raises(ExecutionFailed) as caught:
        interpreter.call(function)
    assert (caught.value.type_name, caught.value.text) == (name, text)
    assert f"in {function.__name__}\n" in caught.value.traceback  # type: ignore[attr-defined]
    assert ("IndexError: pop from empty list" in caught.value.traceback) == (function is chain)
    assert interpreter.call(abs, -1) == 1


def test_wrong_arguments_are_found_there(interpreter: Interpreter) -> None:
    with pytest.raises(ExecutionFailed, match="missing 1 required positional argument") as caught:
        interpreter.call(lambda a: a)  # type: ignore[misc]
    assert caught.value.type_name == "TypeError"


def test_functions_without_state_go_as_their_code(interpreter: Interpreter) -> None:
    def nested(a: int, *more: int, **named: int) -> list[int]:
        def inner(b: int) -> int:
            return a + b

        return sorted([inner(number) for number in (*more, *named.values())])

    assert interpreter.call(nested, 1, 5, 2, x=9) == [3, 6, 10]
    assert interpreter.call(lambda: __import__("sys").version_info[:2]) == sys.version_info[:2]
    interpreter.exec("import sys")
    assert interpreter.call(lambda a, b: a * b, "ab", 2) == "abab"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        7,
        2**80,
        1.5,
        "text",
        "\udc80",
        b"\0",
        (1, (2,)),
        [1, [2]],
        {"a": {1}},
        ValueError("x"),
    ],
    ids=repr,
)
def test_values_come_back_equal(value: object, interpreter: Interpreter) -> None:
    back = interpreter.call(lambda given: given, value)
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_importable_callables_go_by_name(work: object, interpreter: Interpreter) -> None:
    assert interpreter.call(len, [1, 2]) == 2
    assert interpreter.call(dict, a=1) == {"a": 1}
    assert interpreter.call(functools.partial(int, base=2), "101") == 5
    assert interpreter.call(work.scaled, 2) == 12  # type: ignore[attr-defined]
    assert interpreter.call(work.scaled, 2, by=3, add=1) == 19  # type: ignore[attr-defined]
    assert interpreter.call(work.factorial, 6) == 720  # type: ignore[attr-defined]
    box = work.Box(2, scale=2)  # type: ignore[attr-defined]
    assert interpreter.call(box.times, 5) == 60
    assert interpreter.call(work.Box, 2, scale=2) == box  # type: ignore[attr-defined]


def test_what_can_not_cross_is_refused(work: object, interpreter: Interpreter) -> None:
    number = 3

    def closure() -> int:
        return number

    def generator() -> Iterator[int]:
        yield 1

    def default(a: int = 1) -> int:
        return a

    refused = [
        lambda: interpreter.call(closure),
        lambda: interpreter.call(default),
        lambda: interpreter.call(lambda: MODULE),
        lambda: interpreter.call(generator),
        lambda: interpreter.call(lambda: __import__("threading").Lock()),
        lambda: interpreter.call(id, threading.Lock()),
        lambda: interpreter.call(id, (item for item in ())),
        lambda: interpreter.call(id, closure),
        lambda: interpreter.call(id, work.Closed()),  # type: ignore[attr-defined]
        lambda: interpreter.prepare_main(a=[1]),
        lambda: interpreter.prepare_main(a=2**64),
        lambda: interpreter.prepare_main({"a": (1, (object(),))}),
    ]
    for attempt in refused:
        with pytest.raises(NotShareableError) as caught:
            attempt()  # type: ignore[no-untyped-call]
        assert isinstance(caught.value, TypeError)
        assert len(str(caught.value)) > 10
    with pytest.raises(TypeError, match="expected a callable, got 5"):
        interpreter.call(5)  # type: ignore[arg-type]
    assert interpreter.call(abs, -1) == 1


def test_names_of_main(interpreter: Interpreter) -> None:
    interpreter.prepare_main({"a": 1, "t": ("x", b"y", None)}, b=2.5)
    interpreter.prepare_main(a=2)
    interpreter.exec("assert (a, b, t) == (2, 2.5, ('x', b'y', None))")
    assert interpreters.is_shareable((1, "a", b"c", None, True, 1.5, ((),)))
    assert not interpreters.is_shareable({})
    assert interpreters.is_shareable(memoryview(b"a")) == (sys.version_info >= (3, 14))


def test_a_closed_interpreter_is_not_found() -> None:
    closed = interpreters.create()
    closed.close()
    for attempt in (
        closed.close,
        closed.is_running,
        lambda: closed.exec("pass"),
        lambda: closed.call(abs, 1),
        lambda: closed.call_in_thread(abs, 1),
        lambda: closed.prepare_main(a=1),
    ):
        with pytest.raises(InterpreterNotFoundError, match="closed"):
            attempt()  # type: ignore[operator]
    with interpreters.create() as made:
        made.close()


def test_the_main_interpreter_is_only_looked_at() -> None:
    main = interpreters.get_main()
    assert main.is_running()
    for attempt in (main.close, lambda: main.exec("pass"), lambda: main.call(abs, 1)):
        with pytest.raises(InterpreterError, match="only look at it"):
            attempt()  # type: ignore[operator]


def test_one_thread_at_a_time(interpreter: Interpreter) -> None:
    assert not interpreter.is_running()
    there, back = interpreters.create_queue(), interpreters.create_queue()
    interpreter.prepare_main(there=there, back=back)
    thread = threading.Thread(
        target=interpreter.exec, args=("back.put('in')\nassert there.get() == 'leave'",)
    )
    thread.start()
    assert back.get(timeout=60) == "in"
    assert interpreter.is_running()
    for attempt in (
        interpreter.close,
        lambda: interpreter.exec("pass"),
        lambda: interpreter.call(abs, 1),
    ):
        with pytest.raises(InterpreterError, match="running"):
            attempt()  # type: ignore[operator]
    there.put("leave")
    thread.join(60)
    assert not interpreter.is_running()


def test_call_in_thread(interpreter: Interpreter) -> None:
    queue = interpreters.create_queue()
    thread = interpreter.call_in_thread(lambda where, value: where.put(value), queue, [1])
    thread.join(60)
    assert queue.get(timeout=60) == [1]
    caught: list[BaseException | None] = []
    previous, threading.excepthook = (
        threading.excepthook,
        lambda args: caught.append(args.exc_value),
    )
    try:
        interpreter.call_in_thread(chain).join(60)
    finally:
        threading.excepthook = previous
    assert [type(error) for error in caught] == [ExecutionFailed]


def test_a_queue_goes_both_ways_and_back(interpreter: Interpreter) -> None:
    queue = interpreters.create_queue()
    with pytest.raises(QueueEmpty):
        queue.get_nowait()
    with pytest.raises(QueueEmpty):
        queue.get(timeout=0.01)
    queue.put({"a": [1]})
    assert interpreter.call(lambda q: q.get(timeout=60), queue) == {"a": [1]}
    for number in range(3):
        interpreter.call(lambda q, value: q.put(value), queue, number)
    interpreter.prepare_main(queue=queue, both=(queue, 1))
    interpreter.exec("queue.put(3); both[0].put(4)")
    assert [queue.get(timeout=60) for _ in range(5)] == [0, 1, 2, 3, 4]
    back = interpreter.call(lambda q: q, queue)
    assert type(back) is interpreters.Queue
    assert back.id == queue.id


def test_a_queue_outlives_who_used_it() -> None:
    queue = interpreters.create_queue()
    with interpreters.create() as first:
        first.call(lambda q: q.put("lost"), queue)
    with pytest.raises(QueueEmpty):
        queue.get(timeout=0.05)
    queue.put("kept")
    with interpreters.create() as second:
        assert second.call(lambda q: q.get(timeout=60), queue) == "kept"


def test_sizes_of_queues() -> None:
    queue = interpreters.create_queue()
    if not interpreters.has_queue_sizes:
        for attempt in (queue.qsize, queue.empty, lambda: interpreters.create_queue(1)):
            with pytest.raises(NotSupportedError, match=r"needs CPython 3\.13"):
                attempt()  # type: ignore[operator]
        return
    small = interpreters.create_queue(1)
    assert (small.maxsize, small.empty(), small.full(), queue.full()) == (1, True, False, False)
    small.put(1)
    assert (small.qsize(), small.empty(), small.full()) == (1, False, True)
    with pytest.raises(QueueFull):
        small.put_nowait(2)
    with pytest.raises(QueueFull):
        small.put(2, timeout=0.01)
    assert small.get() == 1


def test_the_rules_of_old_versions_hold(interpreter: Interpreter) -> None:
    interpreter.exec(
        "import datetime, decimal, zoneinfo, http\n"
        "assert str(decimal.Decimal('1.10') + 1) == '2.10'\n"
        "assert f'{http.HTTPStatus.OK}' == '200'\n"
        "assert datetime.date(2026, 1, 1).isoformat() == '2026-01-01'"
    )
    assert interpreters.preload("colorsys")[-1] == "colorsys"
    with pytest.raises(ImportError):
        interpreters.preload("no_such_module")


def test_threads_of_an_interpreter_end_before_it() -> None:
    queue = interpreters.create_queue()
    with interpreters.create() as made:
        made.prepare_main(queue=queue)
        begun = time.monotonic()
        worker = threading.Thread(  # imports threading there on a thread that is gone at the end
            target=made.exec,
            args=(THREADS,),
        )
        worker.start()
        worker.join(60)
    assert time.monotonic() - begun >= 0.3


def test_errors_are_one_tree() -> None:
    for name in interpreters.__all__:
        kind = getattr(interpreters, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, InterpreterError)
            if kind is not ExecutionFailed:
                assert str(copy.copy(kind("a reason"))) == "a reason"
