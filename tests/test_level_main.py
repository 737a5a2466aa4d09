"""Ranks in the main interpreter: modules and output of their own, nothing of the host's."""

import atexit
import logging
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine
from support.host import Host, recorded
from support.messages import INVITE
from support.run import run_python

Write = Callable[[dict[str, str]], Path]

MODULES = ["numpy", "orjson", "lxml.etree"]

HEAD = """
class H:
    def child_init(self, rank):
        self.rank = rank
        return 0
"""
TAIL = """
def mod_init():
    return H()
"""


def handler(methods: str, before: str = "") -> str:
    return textwrap.dedent(before) + HEAD + textwrap.indent(textwrap.dedent(methods), "    ") + TAIL


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path / "handler.py"

    return write


IMPORTS = """
def load(self, msg, name):
    import importlib
    module = importlib.import_module(name)
    if name == "numpy":
        return int(module.arange(7).sum())
    return 1
"""


def test_extensions_that_load_once(write: Write) -> None:
    script = write({"handler.py": handler(IMPORTS)})
    with Engine(script, ranks=4, isolation="main") as engine:
        for rank in range(1, 5):
            codes = [engine.python_exec("load", INVITE, name, rank=rank).code for name in MODULES]
            assert codes == [21, 1, 1]


def test_own_gil_ranks_refuse_what_main_ranks_run(write: Write) -> None:
    program = f"""
        from isoexec import Engine
        from support.messages import INVITE
        mixed = {{"isolation": "own_gil"}}
        for isolation, works in (("main", True), ("own_gil", False)):
            with Engine("handler.py", ranks=2, isolation=isolation) as engine:
                for name in {MODULES!r}:
                    for rank in (1, 2):
                        result = engine.python_exec("load", INVITE, name, rank=rank)
                        assert (result.code >= 1) == works, (name, result)
                        assert works or '"main" or "process"' in result.error, result.error
    """
    script = write({"handler.py": handler(IMPORTS)})
    run_python(program, script.parent).expect()


OWN = {
    "settings.py": "VALUES = []\n",
    "routing/__init__.py": "from . import rules\nfrom .util.text import shout\nNAME = __name__\n",
    "routing/rules.py": "from routing import util\nimport routing.util.text as text\nLOADED = 1\n",
    "routing/util/__init__.py": "",
    "routing/util/text.py": "from .. import rules\n\ndef shout(x):\n    return x.upper()\n",
    "routing/late.py": "from settings import VALUES\n",
    "space/part.py": "WHERE = __package__\n",
    "shape.py": """
from __future__ import annotations
import dataclasses
from typing import ClassVar

@dataclasses.dataclass
class Shape:
    kind: ClassVar[str] = "shape"
    size: int = 3
""",
}


def test_own_modules_are_the_ranks_own(write: Write) -> None:
    methods = """
    def add(self, msg):
        settings.VALUES.append(self.rank)
        from routing.late import VALUES
        assert VALUES is settings.VALUES
        return len(VALUES)

    def packages(self, msg):
        import importlib, routing.util.text
        import space.part as part
        from shape import Shape
        assert routing.NAME == "routing" and routing.shout("x") == "X"
        assert routing.util.text is importlib.import_module(".text", "routing.util")
        assert part.WHERE == "space" and Shape().size == 3
        assert sys.modules["settings"] is settings and sys.modules[__name__].H is H
        for missing in ("routing.missing", "no_such_module"):
            try:
                importlib.import_module(missing)
            except ModuleNotFoundError as error:
                assert error.name == missing, error.name
            else:
                return -1
        return 1
    """
    script = write({**OWN, "handler.py": handler(methods, "import sys, settings, routing\n")})
    before = set(sys.modules)
    with Host(script, 3, isolation="main") as host:
        for turn in (1, 2, 3):
            for rank in (1, 2, 3):
                result = host.call("add", rank=rank)
                assert result.code == turn, result.error
        result = host.call("packages")
        assert result.code == 1, result.error
    assert not {"settings", "routing", "space", "shape", "handler", "OpenSIPS"} & set(sys.modules)
    added = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert added <= sys.stdlib_module_names | {"isoexec"}, added


def test_a_script_and_a_host_with_a_module_of_one_name(write: Write) -> None:
    files = {
        "handler.py": handler("def who(self, msg):\n    return settings.WHO", "import settings"),
        "settings.py": "WHO = 2\n",
        "host/settings.py": "WHO = 1\n",
    }
    script = write(files)
    sys.path.insert(0, str(script.parent / "host"))
    try:
        import settings  # type: ignore[import-not-found]

        with Host(script, 1, isolation="main") as host:
            assert host.call("who").code == 2
        assert settings.WHO == 1
    finally:
        sys.path.remove(str(script.parent / "host"))
        sys.modules.pop("settings", None)


OUTPUT = """
def speak(self, msg):
    print("printed", self.rank)
    print("to stderr", file=sys.stderr)
    sys.stdout.write("written\\\\n")
    logging.warning("logged %s", self.rank)
    logging.getLogger("some.where").error("named")
    try:
        raise ValueError("shown")
    except ValueError:
        traceback.print_exc()
    exec("print('from exec')")
    return 1
"""


def test_output_goes_to_the_ranks_log(write: Write, capfd: pytest.CaptureFixture[str]) -> None:
    script = write({"handler.py": handler(OUTPUT, "import logging, sys, traceback\n")})
    stdout, stderr, root = sys.stdout, sys.stderr, list(logging.getLogger().handlers)
    with Host(script, 2, isolation="main") as host:
        for rank in (1, 2):
            result = host.call("speak", rank=rank)
            assert result.code == 1, result.error
            for text in (
                f"printed {rank}",
                "to stderr",
                "written",
                f"logged {rank}",
                "named",
                "ValueError: shown",
                "from exec",
            ):
                host.log.wait(text, rank=rank)
    assert (sys.stdout, sys.stderr, logging.getLogger().handlers) == (stdout, stderr, root)
    assert capfd.readouterr() == ("", "")


def test_exit_functions_run_at_the_ranks_end(write: Write) -> None:
    before = "import atexit, isoexec\natexit.register(lambda: isoexec.log(3, 'exit function'))\n"
    script = write({"handler.py": handler("def one(self, msg):\n    return isoexec.rank", before)})
    registered = atexit._ncallbacks()
    with recorded() as log:
        with Engine(script, ranks=2, isolation="main") as engine:
            assert [engine.python_exec("one", INVITE, rank=rank).code for rank in (1, 2)] == [1, 2]
            assert not log.texts(rank=1)
        for rank in (1, 2):
            log.wait("exit function", rank=rank)
    assert atexit._ncallbacks() == registered


def test_objects_that_outlive_their_rank_find_none(write: Write) -> None:
    methods = """
    def leave(self, msg):
        import builtins
        builtins.left_behind = (self, msg, print, sys.stderr)
        return 1
    """
    script = write({"handler.py": handler(methods, "import sys\n")})
    with Host(script, 1, isolation="main") as host:
        assert host.call("leave").code == 1
    import builtins

    _, msg, speak, stream = builtins.left_behind  # type: ignore[attr-defined]
    del builtins.left_behind  # type: ignore[attr-defined]
    speak("nobody hears this")
    stream.write("nor this\n")
    assert msg.getHeader("Call-ID") == "test@192.0.2.1"
    with pytest.raises(RuntimeError):
        msg.call_function("append_hf", "X: 1")


def test_a_thread_of_the_script_that_goes_on(write: Write) -> None:
    before = """
    import threading, time
    stop = threading.Event()
    """
    methods = """
    def start(self, msg):
        threading.Thread(target=stop.wait, args=(3,), name="lingering").start()
        return 1
    """
    script = write({"handler.py": handler(methods, before)})
    with Host(script, 1, isolation="main", grace=0.1) as host:
        assert host.call("start").code == 1
        host.ranks[1].close()
        # Event.wait is the standard library's: only threads whose target is own code are known.
        assert not [text for text in host.log.texts() if "abandoned" in text]
    for thread in threading.enumerate():
        if thread.name == "lingering":
            thread.join(10)


def test_python_host_functions_and_nesting(write: Write) -> None:
    methods = """
    def ask(self, msg, depth):
        return msg.call_function("again", int(depth))
    """
    script = write({"handler.py": handler(methods)})

    def again(call: Any, depth: int) -> int:
        assert threading.current_thread().name
        if depth == 0:
            return 100
        result = engine.python_exec("ask", INVITE, str(depth - 1), rank=call.rank)
        assert result.outcome == "returned", result.error
        return int(result.code) + 1

    with Engine(script, ranks=2, isolation="main", functions={"again": again}) as engine:
        for rank in (1, 2):
            for _ in range(200):
                assert engine.python_exec("ask", INVITE, "3", rank=rank).code == 103


def test_a_reload_replaces_own_modules(write: Write) -> None:
    files = {
        "handler.py": handler("def value(self, msg):\n    return part.VALUE", "import part"),
        "part.py": "VALUE = 1\n",
    }
    script = write(files)
    with Engine(script, ranks=2, isolation="main") as engine:
        assert [engine.python_exec("value", INVITE, rank=rank).code for rank in (1, 2)] == [1, 1]
        write({"part.py": "VALUE = 2\n"})
        engine.reload()
        assert [engine.python_exec("value", INVITE, rank=rank).code for rank in (1, 2)] == [2, 2]
        write({"part.py": "VALUE = \n"})
        with pytest.raises(Exception, match="could not be loaded"):
            engine.reload()
        assert [engine.python_exec("value", INVITE, rank=rank).code for rank in (1, 2)] == [2, 2]


def test_a_busy_host_and_main_ranks(write: Write) -> None:
    """The host's own Python threads and the ranks take turns."""
    script = write(
        {"handler.py": handler("def one(self, msg):\n    return sum(range(100)) % 7 + 1")}
    )
    done = threading.Event()

    def busy() -> None:
        while not done.is_set():
            sum(range(1000))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        with Engine(script, ranks=2, isolation="main") as engine:
            codes = {engine.python_exec("one", INVITE).code for _ in range(50)}
        assert codes == {2}
    finally:
        done.set()
        thread.join()


def test_interpreter_wide_settings_are_refused(write: Write) -> None:
    script = write({"handler.py": handler("")})
    with pytest.raises(Exception, match="switch_interval.*whole interpreter"):
        Engine(script, ranks=1, isolation="main", switch_interval=0.001)


EXITS = """
    import sys
    from isoexec import Engine
    from support.messages import INVITE

    engine = Engine("handler.py", ranks=2, isolation="main")
    assert engine.python_exec("one", INVITE).code == 1
    print("done", flush=True)
    sys.exit(7)
"""


def test_a_host_that_forgets_close(write: Write) -> None:
    script = write({"handler.py": handler("def one(self, msg):\n    return 1")})
    run_python(EXITS, script.parent).expect(7)
