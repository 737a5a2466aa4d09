"""What own modules of a main rank see of the standard library, and what the host sees of them."""

import gc
import sys
import textwrap
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine
from support.host import Host
from support.messages import INVITE

Write = Callable[[dict[str, str]], Path]

HANDLER = """
{before}

class H:
    def child_init(self, rank):
        return 0

    def run(self, msg):
{body}
        return 1

def mod_init():
    return H()
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return tmp_path / "handler.py"

    return write


def script(body: str, before: str = "") -> str:
    body = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
    return HANDLER.format(before=textwrap.dedent(before), body=body)


def good(host: Host, rank: int = 1) -> None:
    result = host.call("run", rank=rank)
    assert result.code == 1, result.error


OWN_CLASSES = """
    from __future__ import annotations
    import dataclasses
    import typing
    from typing import ClassVar

    @dataclasses.dataclass
    class Shape:
        kind: ClassVar[str] = "shape"
        size: int = 3

    class Plain:
        def __init__(self, value):
            self.value = value

    HINTS = typing.get_type_hints(Shape)
"""

# name: what a method does; it must raise nothing.
WORKS = {
    "pickle": """
        import pickle, io
        from shapes import Plain, Shape
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            for value in (Plain(7), [Shape(4), {"a": Plain}], {"plain": (1, "x", b"y")}):
                copy = pickle.loads(pickle.dumps(value, protocol))
                assert type(copy) is type(value)
        assert pickle.loads(pickle.dumps(Plain(7))).value == 7
        assert pickle.loads(pickle.dumps(Plain)) is Plain
        file = io.BytesIO()
        pickle.dump(Shape(5), file)
        file.seek(0)
        assert pickle.load(file) == Shape(5)
        try:
            pickle.dumps(lambda: 1)
        except (pickle.PicklingError, AttributeError):
            pass
        else:
            raise AssertionError("a lambda can not be pickled")
    """,
    "dataclasses": """
        import dataclasses, json
        from shapes import Shape
        assert [field.name for field in dataclasses.fields(Shape)] == ["size"]
        assert dataclasses.asdict(Shape(9)) == {"size": 9}
        assert dataclasses.replace(Shape(9), size=2) == Shape(2)
        # A library that the host imported sees the same fields.
        import functools
        library = vars(functools)["__builtins__"]["__import__"]("dataclasses")
        assert library.asdict(Shape(9)) == {"size": 9} and library.MISSING is dataclasses.MISSING
    """,
    "orjson of a dataclass": """
        import orjson
        from shapes import Shape
        assert orjson.dumps(Shape(8)) == b'{"size":8}'
    """,
    "type hints": """
        import typing, shapes
        assert shapes.HINTS == {"kind": typing.ClassVar[str], "size": int}
    """,
    "redirected output": """
        import contextlib, io
        stream = io.StringIO()
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            print("caught")
            print("too", file=sys.stderr)
        assert stream.getvalue() == "caught\\ntoo\\n"
        with contextlib.suppress(ValueError):
            raise ValueError
    """,
    "warnings": """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("recorded")
        assert [str(one.message) for one in caught] == ["recorded"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                warnings.warn("raised", RuntimeWarning)
            except RuntimeWarning:
                pass
            else:
                raise AssertionError("the filter error raises")
    """,
    "builtins": """
        import builtins
        builtins.added_here = 5
        assert added_here == 5 and eval("added_here", {}) == 5
        for leave in (exit, quit):
            try:
                leave(3)
            except SystemExit as left:
                assert left.code == 3
        try:
            input()
        except RuntimeError as error:
            assert "stdin" in str(error)
        else:
            raise AssertionError("there is no stdin")
    """,
    "names of imports": """
        import os.path as path, importlib.util, logging.handlers, xml.dom as dom
        from importlib import import_module, util
        import importlib
        assert path.join and importlib.util.find_spec and logging.handlers.QueueHandler and dom.Node
        assert util is importlib.util and importlib.import_module is import_module
        assert __import__("os.path") is __import__("os")
        assert import_module("logging") is logging is sys.modules["logging"]
        import isoexec, OpenSIPS
        assert isoexec.rank == 1 and isoexec.DeadlineExceeded is OpenSIPS.DeadlineExceeded
        assert not hasattr(isoexec, "Engine")
        names = {}
        exec("import shapes\\nfound = shapes", names)
        assert names["found"] is sys.modules["shapes"]
    """,
    "attributes of sys": """
        assert sys.version_info >= (3, 12) and "path" in dir(sys) and sys.exc_info() == (None,) * 3
        assert sys.stdin is None and sys.getrecursionlimit() > 0
        sys.own_attribute = 1
        import sys as again
        assert again.own_attribute == 1
    """,
}


@pytest.mark.parametrize("name", WORKS)
def test_it_works_in_own_modules(write: Write, name: str) -> None:
    path = write({"handler.py": script(WORKS[name], "import sys\n"), "shapes.py": OWN_CLASSES})
    before = set(dir(sys)), sys.stdout, sys.stderr, sys.stdin, sys.path[:]
    with Host(path, isolation="main") as host:
        good(host)
        good(host)
    assert before == (set(dir(sys)), sys.stdout, sys.stderr, sys.stdin, sys.path[:])
    assert "shapes" not in sys.modules and not hasattr(sys.modules["builtins"], "added_here")


def test_what_is_written_goes_to_the_log(
    write: Write, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    body = """
        warnings.warn("warned about it")
        pprint.pprint({"pretty": 1})
        logging.config.dictConfig({
            "version": 1,
            "handlers": {"h": {"class": "logging.StreamHandler", "stream": "ext://sys.stderr"}},
            "loggers": {"configured": {"handlers": ["h"]}},
        })
        logging.getLogger("configured").error("by a handler")
        traceback.print_stack()
    """
    path = write({"handler.py": script(body, "import logging.config, pprint, traceback, warnings")})
    filters = warnings.filters[:]
    with Host(path, isolation="main") as host:
        good(host)
        for text in ("UserWarning: warned about it", "{'pretty': 1}", "by a handler", "in run"):
            host.log.wait(text, rank=1)
    assert warnings.filters[:] == filters and not recwarn.list
    assert capfd.readouterr() == ("", "")


CIRCLES = {
    "pack/__init__.py": "from . import first\n",
    "pack/first.py": """
        import pack.second as other
        from . import second

        def one():
            return 1
    """,
    "pack/second.py": "import pack.first as other\nfrom pack import first\n\nTWO = 2\n",
    "pool.py": """
        from concurrent.futures import ThreadPoolExecutor

        def work():
            import fractions, json, pack
            return pack.second.TWO + fractions.Fraction(1)

        with ThreadPoolExecutor(2) as pool:
            RESULT = pool.submit(work).result()
    """,
    "left.py": "import threading, meet\nmeet.both.wait(10)\nimport right\nDONE = 1\n",
    "right.py": "import threading, meet\nmeet.both.wait(10)\nimport left\nDONE = 1\n",
    "meet.py": "import threading\nboth = threading.Barrier(2)\n",
}


def test_imports_in_circles_and_from_threads(write: Write) -> None:
    body = """
        import pack, pool, threading
        assert pack.first.other is pack.second and pack.second.other is pack.first
        assert pack.first.second.first.one() == 1 and pool.RESULT == 3
        def load(name):
            __import__(name)
        threads = [threading.Thread(target=load, args=(name,)) for name in ("left", "right")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        import left, right
        assert left.DONE == right.DONE == 1
    """
    path = write({**CIRCLES, "handler.py": script(body)})
    with Host(path, 2, isolation="main") as host:
        good(host)
        good(host, 2)


def test_a_module_that_was_missing_at_first(write: Write) -> None:
    body = """
        try:
            import comes_later
        except ModuleNotFoundError:
            return 2
        return comes_later.VALUE
    """
    path = write({"handler.py": script(body)})
    with Host(path, isolation="main") as host:
        assert host.call("run").code == 2
        write({"comes_later.py": "VALUE = 5\n"})
        sys.path_importer_cache.clear()
        assert host.call("run").code == 5


def test_what_fails_to_load_can_be_loaded_again(write: Write) -> None:
    files = {"handler.py": script("import faulty\n"), "faulty.py": "1 / 0\n"}
    path = write(files)
    with Host(path, isolation="main") as host:
        for _ in (1, 2):
            assert "ZeroDivisionError" in host.call("run").error
        write({"faulty.py": "VALUE = 1\n"})
        good(host)


if sys.version_info >= (3, 15):

    def test_lazy_imports(write: Write) -> None:
        body = "assert late.VALUE == 4 and json.dumps([]) == '[]'\n"
        path = write(
            {
                "handler.py": script(body, "lazy import late\nlazy import json\n"),
                "late.py": "VALUE = 4\n",
            }
        )
        with Host(path, 2, isolation="main") as host:
            good(host)
            good(host, 2)
        assert "late" not in sys.modules


EVERYTHING = """
    import atexit, contextlib, dataclasses, logging, logging.config, os, pickle, pprint, sys
    import threading, traceback, typing, warnings
    import shapes
    logging.basicConfig(level=logging.DEBUG)
    logging.info("started")
    cache = {}
"""


def test_an_engine_leaves_nothing_in_the_host(write: Write) -> None:
    body = """
        cache["self"] = self
        warnings.warn("x")
        pickle.loads(pickle.dumps(shapes.Plain(1)))
        print(threading.current_thread().name)
        import isolated_box
        isolated_box.seen.append(self)
    """
    box: Any = type(sys)("isolated_box")
    sys.modules["isolated_box"] = box
    path = write({"handler.py": script(body, EVERYTHING), "shapes.py": OWN_CLASSES})

    def turn(channel: str) -> list[weakref.ref[Any]]:
        box.seen = []
        with Engine(path, ranks=2, isolation="main", channel=channel) as engine:
            if channel == "queue":
                for rank in (1, 2):
                    assert engine.python_exec("run", INVITE, rank=rank).code == 1
            else:
                with engine.open_rank(1) as rank_object:
                    assert rank_object.python_exec("run", INVITE).code == 1
        found = [weakref.ref(thing) for thing in (*box.seen, type(box.seen[0]))]
        box.seen = []
        return found

    def host_state() -> Any:
        import threading

        gc.collect()
        return (
            set(sys.modules),
            sys.path[:],
            sys.meta_path[:],
            sys.path_hooks[:],
            dict(threading._active),  # type: ignore[attr-defined]
            warnings.filters[:],
        )

    try:
        for channel in ("queue", "inline"):
            turn(channel)  # modules of the library that the host had not loaded
            before = host_state()
            left = turn(channel)
            assert host_state() == before
            assert [ref() for ref in left] == [None] * len(left)
    finally:
        del sys.modules["isolated_box"]


def test_reloads_do_not_fill_sys_path(write: Write) -> None:
    before = "import os, sys\nsys.path.insert(0, os.path.dirname(__file__) + '/lib')\nimport tool\n"
    files = {"handler.py": script("return tool.VALUE", before), "lib/tool.py": "VALUE = 7\n"}
    path = write(files)
    host_path = sys.path[:]
    try:
        sys.path += ["/twice", "/twice"]
        with Engine(path, ranks=2, isolation="main") as engine:
            for _ in range(3):
                engine.reload()
                assert engine.python_exec("run", INVITE).code == 7
            places = sys.path[:]
        assert places.count(str(path.parent / "lib")) <= 2  # one for each rank that loaded
        assert places.count("/twice") == 2
    finally:
        sys.path[:] = host_path
