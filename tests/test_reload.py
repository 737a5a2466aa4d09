"""New code for a script that serves: what is reloaded, what is rolled back, and that no call is lost.

Each test edits real files and reloads them on both channels.
"""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from isoexec import AsyncEngine, Engine, errors
from support.host import LIMIT, Host, Records, recorded, wait_until
from support.messages import INVITE
from support.queues import Gate, resident
from support.run import run

HANDLER = """
import sys
{top}

class Handler:
    def child_init(self, rank):
        self.rank = rank
        {child_init}
        return 0

    def go(self, msg):
        {go}

def mod_init():
    {mod_init}
    return Handler()
"""


class Site:
    """A folder with a script and its modules, which tests edit, and an engine that runs them."""

    def __init__(self, folder: Path, channel: str, isolation: str = "own_gil") -> None:
        self.folder, self.channel, self.isolation = folder, channel, isolation
        self.engine: Engine
        self.log: Records
        self._call: Callable[..., Any]

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def handler(
        self,
        go: str = "return 1",
        *,
        top: str = "",
        mod_init: str = "pass",
        child_init: str = "pass",
    ) -> None:
        text = HANDLER.format(
            top=textwrap.dedent(top), go=go, mod_init=mod_init, child_init=child_init
        )
        self.write("handler.py", text)

    def start(self, ranks: int = 1, **settings: Any) -> None:
        settings.setdefault("allow_look", True)
        settings.setdefault("isolation", self.isolation)
        script = self.folder / "handler.py"
        if self.channel == "inline":
            host = Host(script, ranks, **settings)
            self.host, self.engine, self.log = host, host.engine, host.log
            self._call = host.call
        else:
            self._recorded = recorded()
            self.log = self._recorded.__enter__()
            self.engine = Engine(script, ranks=ranks, **settings)
            self._call = self.engine.python_exec

    def stop(self) -> None:
        if not hasattr(self, "engine"):
            return
        if self.channel == "inline":
            self.host.__exit__()
        else:
            self.engine.close()
            self._recorded.__exit__(None, None, None)

    def go(self, method: str = "go", rank: int = 1, **options: Any) -> int:
        result = self._call(method, INVITE, rank=rank, **options)
        assert result.outcome == "returned", result.error
        return int(result.code)

    def reload(self, **options: Any) -> None:
        """On the channel inline, ranks are idle threads that must service their mailbox."""
        if self.channel == "queue":
            self.engine.reload(**options)
            return
        failed: list[BaseException] = []
        done = threading.Event()

        def work() -> None:
            try:
                self.engine.reload(**options)
            except BaseException as error:
                failed.append(error)
            done.set()

        thread = threading.Thread(target=work)
        thread.start()
        while not done.wait(0.001):
            for rank in self.host.ranks.values():
                rank.run(lambda opened: opened.service())
        thread.join()
        if failed:
            raise failed[0]

    def fails(self, part: str = "") -> errors.ScriptError:
        with pytest.raises(errors.ScriptError) as caught:
            self.reload()
        assert part in str(caught.value), str(caught.value)
        return caught.value

    def look(self, expression: str, rank: int = 1) -> Any:
        """The value of an expression in a rank; `statements; expression` runs the former first."""
        *statements, last = expression.split("; ")
        code = "\n".join([*statements, f"result = {last}"])
        if self.channel == "queue":
            return self.engine.look(rank, "run", code)
        answer: list[Any] = []
        thread = threading.Thread(
            target=lambda: answer.append(self.engine.look(rank, "run", code, timeout=LIMIT))
        )
        thread.start()
        while thread.is_alive():
            self.host.ranks[rank].run(lambda opened: opened.service())
            thread.join(0.001)
        return answer[0]

    def reloads(self) -> list[int]:
        return [row.reloads for row in self.engine.stats()]


# Where nothing but the rank is in its interpreter.
apart = pytest.mark.parametrize("site", ["queue", "inline"], indirect=True)


@pytest.fixture(params=["queue", "inline", "queue-main", "inline-main"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    channel, _, isolation = request.param.partition("-")
    site = Site(tmp_path, channel, isolation or "own_gil")
    path = sys.path[:]  # on isolation main it is the scripts' too
    yield site
    site.stop()
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in str(getattr(module, "__file__", None)):
            del sys.modules[name]


# ---- what is reloaded


def test_the_script(site: Site) -> None:
    site.handler("return 1")
    site.start(ranks=2)
    assert [site.go(rank=1), site.go(rank=2)] == [1, 1]
    site.handler("return self.rank * 10")
    assert [site.go(rank=1), site.go(rank=2)] == [1, 1]  # nobody asked yet
    site.reload()
    assert [site.go(rank=1), site.go(rank=2)] == [10, 20]
    assert site.reloads() == [1, 1]


LAYOUTS = {
    "sibling": ("import part", "part.VALUE", "part.py"),
    "from sibling import name": ("from part import VALUE", "VALUE", "part.py"),
    "package": ("import pack", "pack.VALUE", "pack/__init__.py"),
    "module of a package": ("import pack.part", "pack.part.VALUE", "pack/part.py"),
    "from package import module": ("from pack import part", "part.VALUE", "pack/part.py"),
    "namespace package": ("import space.part", "space.part.VALUE", "space/part.py"),
    "nested namespace": ("from space.deep import part", "part.VALUE", "space/deep/part.py"),
    "folder in sys.path": (
        "import os; sys.path.append(os.path.dirname(__file__) + '/lib'); import part",
        "part.VALUE",
        "lib/part.py",
    ),
    "through another": ("import middle", "middle.part.VALUE", "part.py"),
    "relative": ("import pack.middle", "pack.middle.part.VALUE", "pack/part.py"),
}


@pytest.mark.parametrize("late", [False, True], ids=["at load", "in the method"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_own_modules(site: Site, layout: str, late: bool) -> None:
    imports, value, path = LAYOUTS[layout]
    if layout in ("module of a package", "from package import module", "relative"):
        site.write("pack/__init__.py", "")
    site.write("pack/middle.py" if layout == "relative" else "middle.py", MIDDLE[layout == "relative"])
    site.write(path, "VALUE = 3\n")
    if late:
        site.handler(f"{imports}; return {value}")
    else:
        site.handler(f"return {value}", top=imports)
    site.start()
    assert site.go() == 3
    site.write(path, "VALUE = 4\n")
    site.reload()
    assert site.go() == 4


MIDDLE = {False: "import part\n", True: "from . import part\n"}


def test_an_edit_in_the_same_second_and_of_the_same_size(site: Site) -> None:
    site.write("part.py", "VALUE = 100\n")
    site.handler("return part.VALUE", top="import part")
    stamp = 1_700_000_000
    for name in ("part.py", "handler.py"):
        os.utime(site.folder / name, (stamp, stamp))
    # A host that writes .pyc files may have left one that looks fresh.
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site.folder)], check=True)
    site.write("part.py", "VALUE = 200\n")
    os.utime(site.folder / "part.py", (stamp, stamp))
    site.start()
    assert site.go() == 200  # not even the first load believes it
    for value in (300, 400, 500):
        site.write("part.py", f"VALUE = {value}\n")
        os.utime(site.folder / "part.py", (stamp, stamp))
        site.reload()
        assert site.go() == value
    assert not list(site.folder.glob("__pycache__/part*.pyc.*"))


def test_no_pyc_is_written(site: Site) -> None:
    site.write("part.py", "VALUE = 1\n")
    site.handler("return part.VALUE", top="sys.dont_write_bytecode = False\nimport part")
    site.start()
    site.reload()
    assert site.go() == 1
    assert not (site.folder / "__pycache__").exists()


def test_a_module_that_appears_and_one_that_goes(site: Site) -> None:
    site.write("old.py", "VALUE = 1\n")
    site.handler("return old.VALUE", top="import old")
    site.start()
    assert site.go() == 1
    (site.folder / "old.py").unlink()
    site.write("new/__init__.py", "VALUE = 2\n")
    site.handler("return new.VALUE", top="import new")
    site.reload()
    assert site.go() == 2
    assert site.look("import sys; [n for n in ('old', 'new') if n in sys.modules]") == ["new"]


def test_a_module_becomes_a_package(site: Site) -> None:
    site.write("part.py", "VALUE = 1\n")
    site.handler("import part; return part.VALUE")
    site.start()
    assert site.go() == 1
    (site.folder / "part.py").unlink()
    site.write("part/__init__.py", "VALUE = 2\n")
    site.reload()
    assert site.go() == 2


def test_libraries_stay(site: Site, tmp_path: Path) -> None:
    site.write("site-packages/library.py", "import time\nLOADED = time.monotonic_ns()\n")
    site.write("venv/lib/python3/dist-packages/other/__init__.py", "LOADED = object()\n")
    site.handler(
        "return 1",
        top="""
        import json, os
        folder = os.path.dirname(__file__)
        sys.path += [folder + "/site-packages", folder + "/venv/lib/python3/dist-packages"]
        import library, other
        """,
    )
    site.start()
    names = "('json', 'library', 'other', 'OpenSIPS')"
    which = f"import sys; [id(sys.modules[n]) for n in {names} if n in sys.modules]"
    before = site.look(which)
    site.reload()
    assert site.look(which) == before
    assert len(before) >= 3


@apart
def test_a_package_that_is_own_only_in_part(site: Site) -> None:
    """The package stays; what it shows of own modules must be the new ones."""
    site.write("site-packages/space/theirs.py", "VALUE = 1\n")
    site.write("space/mine.py", "VALUE = 3\n")
    top = """
    import os
    sys.path.append(os.path.dirname(__file__) + "/site-packages")
    import space.theirs
    from space import mine
    """
    site.handler("return mine.VALUE + space.theirs.VALUE", top=top)
    site.start()
    assert site.go() == 4
    site.write("space/mine.py", "VALUE = 5\n")
    site.reload()
    assert site.go() == 6
    site.write("space/mine.py", "VALUE = 1/0\n")
    site.fails("ZeroDivisionError")
    assert site.go() == 6
    assert site.look("import space; space.mine.VALUE") == 5


def test_a_script_named_like_the_standard_library(site: Site) -> None:
    site.handler("import queue; return len(queue.Queue.__name__)")
    script = site.folder / "handler.py"
    script.rename(site.folder / "queue.py")
    with Engine(site.folder / "queue.py", ranks=1) as engine:
        assert engine.python_exec("go", INVITE).code == 5
        (site.folder / "queue.py").write_text(
            (site.folder / "queue.py").read_text().replace("return len", "return 10 + len")
        )
        engine.reload()
        assert engine.python_exec("go", INVITE).code == 15


def test_one_that_puts_an_object_in_its_place(site: Site) -> None:
    text = """
    import sys
    class Facade:
        def value(self):
            return {}
    sys.modules[__name__] = Facade()
    """
    site.write("facade.py", text.format(1))
    site.handler("return facade.value()", top="import facade")
    site.start()
    assert site.go() == 1
    site.write("facade.py", text.format(2))
    site.reload()
    assert site.go() == 2


def test_settings_path_of_the_script_does_not_grow(site: Site) -> None:
    site.handler(top="sys.path.insert(0, '/nowhere/lib'); sys.path.append('/nowhere/more')")
    site.start()
    before = site.look("import sys; sys.path")
    for _ in range(3):
        site.reload()
    assert sorted(site.look("import sys; sys.path")) == sorted(set(before))


def test_methods_are_found_afresh(site: Site) -> None:
    """Found once and remembered (methods.c): what came, what went, and one on the instance."""
    site.handler("return 1", child_init="self.extra = lambda msg: 5")
    site.start()
    assert [site.go() for _ in range(20)] == [1] * 20
    assert site.go("extra") == 5
    site.handler("return 2")
    site.reload()
    assert [site.go() for _ in range(20)] == [2] * 20
    result = site._call("extra", INVITE, rank=1)
    assert result.outcome == "missing"
    site.handler("return 3", child_init="self.go = lambda msg: 6")
    site.reload()
    assert [site.go() for _ in range(20)] == [6] * 20


def test_traceback_lines_are_those_of_the_new_file(site: Site) -> None:
    site.handler("raise ValueError  # one")
    site.start()
    assert "# one" in site._call("go", INVITE, rank=1).error
    stamp = os.stat(site.folder / "handler.py").st_mtime
    site.handler("raise ValueError  # two")
    os.utime(site.folder / "handler.py", (stamp, stamp))
    site.reload()
    assert "# two" in site._call("go", INVITE, rank=1).error


# ---- what ends the old code


def test_child_exit_of_the_old_handler(site: Site, tmp_path: Path) -> None:
    text = """
    class Handler:
        def child_init(self, rank):
            print("init {0}", rank)
            return 0
        def child_exit(self, rank):
            print("exit {0}", rank)
        def go(self, msg):
            return {0}
    def mod_init():
        print("mod_init {0}")
        return Handler()
    """
    site.write("handler.py", text.format(1))
    site.start()
    site.write("handler.py", text.format(2))
    site.reload()
    assert site.go() == 2
    expected = ["mod_init 1", "init 1 1", "mod_init 2", "init 2 1", "exit 1 1"]
    assert wait_until(lambda: "exit 1 1" in site.log.texts())
    assert [line for line in site.log.texts() if line in expected] == expected
    site.stop()
    assert site.log.texts().count("exit 2 1") == 1
    assert site.log.texts().count("exit 1 1") == 1
    del site.engine


def test_child_exit_that_raises(site: Site) -> None:
    site.handler(top="Base = type('B', (), {'child_exit': lambda self, rank: 1/0})")
    path = site.folder / "handler.py"
    path.write_text(path.read_text().replace("class Handler:", "class Handler(Base):"))
    site.start()
    site.handler("return 2")
    site.reload()
    assert site.go() == 2
    site.log.wait("child_exit raised")
    site.log.wait("ZeroDivisionError")


EXITS = """
import atexit, functools, sys
sys.path.append(__file__.rpartition("/")[0] + "/site-packages")
import library

def say(what):
    print("exit {0}", what)

class Thing:
    def close(self):
        say("method")
    @classmethod
    def close_all(cls):
        say("classmethod")
    def __call__(self):
        say("callable")

class Derived(library.Base):
    def other(self):
        pass

@functools.lru_cache
def cached():
    say("cached")

def wrapped():
    say("wrapped")

for function in (Thing().close, Thing.close_all, Thing(), cached, Derived().close,
                 functools.partial(say, "partial"), library.wrap(wrapped), lambda: say("lambda")):
    atexit.register(function)
atexit.register(say, what="keyword")
atexit.register(say, "taken back")
atexit.unregister(functools)

@atexit.register
def decorated():
    say("decorated")

@atexit.register
def undone():
    say("undone")
atexit.unregister(undone)

@atexit.register
def raises():
    raise LookupError("exit {0}")

class Handler:
    def child_init(self, rank):
        return 0
    def go(self, msg):
        return {0}
def mod_init():
    return Handler()
"""

LIBRARY = """
import atexit, functools

class Base:
    def close(self):
        print("exit base")

def wrap(function):
    @functools.wraps(function)
    def call():
        function()
    return call

@atexit.register
def end():
    print("exit library")
"""

KINDS = (
    "method classmethod callable cached partial wrapped lambda keyword taken_back decorated"
).split()


@apart
def test_exit_functions(site: Site) -> None:
    """Those of the replaced modules run, each once, the last one first; others wait for the end."""
    site.write("site-packages/library.py", LIBRARY)
    site.write("handler.py", EXITS.format(1))
    site.start()
    site.write("handler.py", EXITS.format(2))
    site.reload()
    assert site.go() == 2
    site.log.wait("exit 1 method")
    site.log.wait("LookupError: exit 1")
    ran = [line for line in site.log.texts() if line.startswith("exit ")]
    kinds = [kind.replace("_", " ") for kind in KINDS]
    assert sorted(ran) == sorted(["exit base", *(f"exit 1 {kind}" for kind in kinds)])
    assert ran[0] == "exit 1 decorated"
    site.stop()
    ran = [line for line in site.log.texts() if line.startswith("exit ")]
    for kind in kinds:
        assert (ran.count(f"exit 1 {kind}"), ran.count(f"exit 2 {kind}")) == (1, 1), kind
    assert ran.count("exit library") == 1
    assert ran.count("exit base") == 2
    assert not [line for line in ran if "undone" in line]
    del site.engine


def test_old_code_is_collected(site: Site) -> None:
    """But for what lives in old instances, which keep their class."""
    site.write("part.py", "class Kept:\n    VALUE = 7\nclass Lost:\n    pass\nlost = Lost()\n")
    site.write("site-packages/library.py", "kept = []\n")
    site.handler(
        top="""
        import os, typing, weakref
        sys.path.append(os.path.dirname(__file__) + "/site-packages")
        import library, part
        Alias = typing.Optional[part.Lost]
        """,
        child_init="library.probe = weakref.ref(part.lost), weakref.ref(sys.modules[__name__])",
        mod_init="library.kept = library.kept or [part.Kept()]",
    )
    site.start()
    assert site.go() == 1
    site.look("import library; library.first = library.probe; 0")
    site.handler("return library.kept[0].VALUE", top="import library, part")
    site.write("part.py", "class Kept:\n    VALUE = 8\n")
    site.reload()
    alive = "import gc, library; gc.collect(); [r() is not None for r in library.first]"
    assert site.look(alive) == [False, False]
    assert site.go() == 7
    assert not site.look("import library, part; isinstance(library.kept[0], part.Kept)")


WORKERS = (
    "import threading; [t.name for t in threading.enumerate() "
    "if type(t).__name__ not in ('_MainThread', '_DummyThread')]"
)


@apart
def test_threads_of_the_old_code(site: Site) -> None:
    """They are named when the grace time is over, and no call waits for them."""
    site.handler(
        "return 1",
        top="""
        import threading, OpenSIPS
        stop = threading.Event()
        class Worker(threading.Thread):
            def run(self):
                stop.wait()
        """,
        child_init="""
        self.threads = [threading.Thread(target=stop.wait, name="library"),
                        threading.Thread(target=lambda: stop.wait(), name="ours"),
                        Worker(name="subclass"), threading.Timer(3600, lambda: 0)]
        self.threads[3].name = "timer"
        [thread.start() for thread in self.threads]
        import atexit; sys.stops = (self, stop)""",
    )
    site.start(grace="300ms")
    site.handler("return 2")
    began = time.monotonic()
    site.reload()
    assert site.go() == 2
    named = site.log.wait("threads of the old code go on")
    assert time.monotonic() - began >= 0.3
    for name in ("ours", "subclass", "timer"):
        assert name in named
    assert "library" not in named
    site.look("import sys; sys.stops[1].set(); sys.stops[0].threads[3].cancel(); 0")
    assert wait_until(lambda: site.look(WORKERS) == [])


@apart
def test_threads_that_child_exit_ends_are_not_named(site: Site) -> None:
    site.handler(
        top="""
        import threading
        stop = threading.Event()
        thread = threading.Thread(target=lambda: stop.wait(), name="ended")
        class Base:
            def child_exit(self, rank):
                stop.set()
        """,
        child_init="thread.start()",
    )
    path = site.folder / "handler.py"
    path.write_text(path.read_text().replace("class Handler:", "class Handler(Base):"))
    site.start(grace="200ms")
    site.handler("return 2")
    site.reload()
    assert wait_until(lambda: site.look(WORKERS) == [])
    assert not [line for line in site.log.texts() if "old code go on" in line]


# ---- what fails


BROKEN = {
    "syntax": ({"top": "def ("}, "SyntaxError"),
    "import": ({"top": "import no_such_module"}, "ModuleNotFoundError"),
    "raise": ({"top": "raise LookupError('top')"}, "LookupError"),
    "exit": ({"top": "sys.exit(3)"}, "SystemExit"),
    "interrupt": ({"top": "raise KeyboardInterrupt"}, "KeyboardInterrupt"),
    "mod_init raises": ({"mod_init": "1/0"}, "ZeroDivisionError"),
    "mod_init exits": ({"mod_init": "sys.exit()"}, "SystemExit"),
    "mod_init gives none": ({"mod_init": "return None"}, "not None"),
    "no mod_init": ({"top": "", "mod_init": "pass"}, "no function mod_init"),
    "child_init raises": ({"child_init": "1/0"}, "ZeroDivisionError"),
    "child_init negative": ({"child_init": "return -1"}, "negative"),
    "child_init exits": ({"child_init": "raise SystemExit(0)"}, "SystemExit"),
    "no child_init": ({"mod_init": "return object()"}, "no method child_init"),
    "sibling breaks": ({"top": "import part"}, "SyntaxError"),
    "sibling is gone": ({"top": "import gone"}, "ModuleNotFoundError"),
    "endless": ({"top": "def f(): f()\nf()"}, "RecursionError"),
}

PICTURE = (
    "import sys; [sorted(n for n in sys.modules if n in ('handler', 'part', 'gone', 'made')), "
    "sorted(id(sys.modules[n]) for n in ('handler', 'part')), list(sys.path), "
    "len(sys.meta_path), len(sys.path_hooks)][:{}]"
)


@pytest.mark.parametrize("case", BROKEN)
def test_the_old_code_goes_on(site: Site, case: str) -> None:
    site.write("part.py", "VALUE = 3\n")
    site.write("gone.py", "")
    site.handler("return part.VALUE", top="import part")
    site.start(ranks=2)
    picture = PICTURE.format(3 if site.isolation == "main" else 5)
    before = [site.look(picture, rank) for rank in (1, 2)]
    parts, expected = BROKEN[case]
    parts = dict(parts)
    first = """
    import atexit, types
    sys.modules["made"] = types.ModuleType("made")
    sys.path = ["/nowhere", *sys.path]
    sys.meta_path.append(object())
    atexit.register(print, "never 1")
    @atexit.register
    def never():
        print("never 2")
    """
    parts["top"] = textwrap.dedent(first) + parts.get("top", "")
    if case == "sibling breaks":
        site.write("part.py", "VALUE = (\n")
    if case == "sibling is gone":
        (site.folder / "gone.py").unlink()
    site.handler("return 9", **parts)
    if case == "no mod_init":
        path = site.folder / "handler.py"
        path.write_text(path.read_text().replace("mod_init", "other"))
    error = site.fails(expected)
    assert error.code in ("ESCRIPT", "EINIT")
    assert "rank 1" in str(error)
    assert [site.go(rank=rank) for rank in (1, 2)] == [3, 3]
    assert site.reloads() == [0, 0]
    assert [site.look(picture, rank) for rank in (1, 2)] == before
    site.log.wait(expected, rank=1)
    told = [line for line in site.log.texts() if expected in line and line[0] != " "]
    assert len(told) == 1
    assert not [line for line in site.log.texts(rank=2) if "raised" in line or "loaded" in line]
    site.write("part.py", "VALUE = 4\n")
    site.handler("return part.VALUE", top="import part")
    site.reload()
    assert [site.go(rank=rank) for rank in (1, 2)] == [4, 4]
    site.stop()
    assert not [line for line in site.log.texts() if line.startswith("never")]
    del site.engine


def test_a_module_imported_late_is_tried_too(site: Site) -> None:
    """Else the fault would show in a call."""
    site.write("late.py", "VALUE = 1\n")
    site.handler("import late; return late.VALUE")
    site.start()
    assert site.go() == 1
    site.write("late.py", "VALUE = (\n")
    site.fails("SyntaxError")
    assert site.go() == 1
    site.write("late.py", "VALUE = 2\n")
    site.reload()
    assert site.go() == 2


def test_the_script_is_gone(site: Site) -> None:
    site.handler("return 1")
    site.start()
    (site.folder / "handler.py").unlink()
    site.fails("FileNotFoundError")
    assert site.go() == 1


def test_the_failed_handler_gets_no_child_exit(site: Site) -> None:
    text = """
    class Handler:
        def child_init(self, rank):
            return {1}
        def child_exit(self, rank):
            print("exit {0}")
        def go(self, msg):
            return {0}
    def mod_init():
        return Handler()
    """
    site.write("handler.py", text.format(1, 0))
    site.start()
    site.write("handler.py", text.format(2, -1))
    site.fails("negative")
    assert site.go() == 1
    site.stop()
    assert [line for line in site.log.texts() if line.startswith("exit")] == ["exit 1"]
    del site.engine


def test_later_ranks_do_not_try_what_failed(site: Site) -> None:
    site.handler("return 1")
    site.start(ranks=3)
    site.handler("return 2", child_init="print('tried', rank); return -1 if rank == 2 else 0")
    site.fails("rank 2")
    assert [site.go(rank=rank) for rank in (1, 2, 3)] == [2, 1, 1]
    assert site.reloads() == [1, 0, 0]
    assert "tried 3" not in " ".join(site.log.texts())


# ---- when


def test_while_a_rank_is_in_a_call(site: Site) -> None:
    """It waits for its turn; the others serve meanwhile, and it reloads before its next call."""
    gate = Gate()
    site.handler("return msg.call_function('gate')")
    site.start(ranks=2, functions={"gate": gate})
    held = threading.Thread(target=site.go)
    held.start()
    try:
        gate.wait()
        site.handler("return 2")
        if site.channel == "queue":
            with pytest.raises(errors.CallTimeoutError, match="rank 1"):
                site.engine.reload(timeout=0.2)
            assert wait_until(lambda: site.reloads() == [0, 1])
        else:
            with pytest.raises(errors.CallTimeoutError, match="rank 1"):
                site.engine.reload(timeout=0.1)
        assert site.go(rank=2) == 2
    finally:
        gate.open()
        held.join()
    assert site.go(rank=1) == 2
    assert site.reloads() == [1, 1]


def test_in_a_call_of_the_engine(site: Site) -> None:
    codes: list[str] = []

    def reload(call: Any) -> int:
        try:
            site.engine.reload(timeout=5)
        except errors.RankError as error:
            codes.append(error.code)
        return 4

    site.handler("return msg.call_function('reload')")
    site.start(functions={"reload": reload})
    assert site.go() == 4
    assert codes == ["ESTATE"]
    site.reload()


def test_on_the_thread_of_an_inline_rank(tmp_path: Path) -> None:
    site = Site(tmp_path, "inline")
    site.handler("return 1")
    with Engine(tmp_path / "handler.py", channel="inline", ranks=2) as engine:
        with engine.open_rank(2) as rank:
            site.handler("return 2")
            engine.reload()
            assert rank.python_exec("go", INVITE).code == 2
            site.handler("return 3", mod_init="1/0")
            with pytest.raises(errors.ScriptError):
                engine.reload()
            assert rank.python_exec("go", INVITE).code == 2


def test_two_at_once(site: Site) -> None:
    gate = Gate()
    site.handler("return msg.call_function('gate')")
    site.start(functions={"gate": gate})
    held = threading.Thread(target=site.go)
    held.start()
    gate.wait()
    first = threading.Thread(target=site.engine.reload)
    first.start()
    try:
        seen: list[str] = []

        def refused() -> bool:
            try:
                site.engine.reload(timeout=0)
            except errors.IsoexecError as error:
                seen.append(f"{error.code} {error}")
            return "ESTATE another reload" in seen[-1]

        assert wait_until(refused), seen
    finally:
        gate.open()
        held.join()
        while first.is_alive():
            site.go()
            first.join(0.01)
    assert site.go() == 1


def test_with_no_rank_open_and_closed(tmp_path: Path) -> None:
    Site(tmp_path, "inline").handler()
    engine = Engine(tmp_path / "handler.py", channel="inline")
    engine.reload()
    engine.close()
    with pytest.raises(errors.EngineClosedError):
        engine.reload()


@pytest.mark.parametrize("timeout", [-1, 3601, float("nan")])
def test_a_time_that_is_none(site: Site, timeout: float) -> None:
    site.handler()
    site.start()
    with pytest.raises(ValueError, match="0 to 3600"):
        site.engine.reload(timeout=timeout)


def test_close_does_not_wait_for_a_reload(tmp_path: Path) -> None:
    """It waits for a call that goes on; the engine ends when that does."""
    gate = Gate()
    site = Site(tmp_path, "queue")
    site.handler("return msg.call_function('gate')")
    engine = Engine(tmp_path / "handler.py", ranks=2, functions={"gate": gate})
    task = engine.submit("go", INVITE, rank=1)
    gate.wait()
    failed: list[errors.IsoexecError] = []

    def reload() -> None:
        try:
            engine.reload(timeout=3000)
        except errors.IsoexecError as error:
            failed.append(error)

    thread = threading.Thread(target=reload)
    thread.start()
    time.sleep(0.05)
    closing = threading.Thread(target=engine.close)
    closing.start()
    thread.join(LIMIT)
    assert [type(error) for error in failed] == [errors.EngineClosedError]
    gate.open()
    closing.join(LIMIT)
    assert not closing.is_alive()
    assert task.done()


def test_a_full_queue(tmp_path: Path) -> None:
    gate = Gate()
    site = Site(tmp_path, "queue")
    site.handler("return msg.call_function('gate')")
    with Engine(
        tmp_path / "handler.py", ranks=1, queue_size=4, functions={"gate": gate}
    ) as engine:
        tasks = [engine.submit("go", INVITE) for _ in range(4)]
        gate.wait()
        site.handler("return 2")
        thread = threading.Thread(target=engine.reload)
        thread.start()
        gate.open()
        thread.join(LIMIT)
        assert not thread.is_alive()
        codes = [task.result(LIMIT).code for task in tasks]
        assert codes[0] == 1
        assert set(codes) <= {1, 2}
        assert engine.python_exec("go", INVITE).code == 2


def test_async(tmp_path: Path) -> None:
    site = Site(tmp_path, "queue")
    site.handler("return 1")

    async def main() -> None:
        async with AsyncEngine(tmp_path / "handler.py", ranks=2) as engine:
            assert (await engine.python_exec("go", INVITE)).code == 1
            site.handler("return 2")
            await engine.reload()
            assert (await engine.python_exec("go", INVITE)).code == 2
            site.handler("return 3", mod_init="1/0")
            with pytest.raises(errors.ScriptError, match="ZeroDivisionError"):
                await engine.reload()
            assert [row.reloads for row in engine.stats()] == [1, 1]

    anyio.run(main)


# ---- by signal


HOST = """
import os, signal, sys, time
from isoexec import Engine
mine = []
signal.signal(signal.SIGHUP, lambda *_: mine.append(1))
MESSAGE = {message!r}
script = sys.argv[1]

def wait(what):
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)

text = open(script).read()
engines = [Engine(script, ranks=2, reload_signal="hup") for _ in range(2)]
other = Engine(script, ranks=1)
open(script, "w").write(text.replace("return 1", "return 2"))
os.kill(os.getpid(), signal.SIGHUP)
wait(lambda: all(row.reloads == 1 for engine in engines for row in engine.stats()))
assert [e.python_exec("go", MESSAGE).code for e in (*engines, other)] == [2, 2, 1]
assert not mine
engines[0].close()
os.kill(os.getpid(), signal.SIGHUP)
wait(lambda: all(row.reloads == 2 for row in engines[1].stats()))
engines[1].close()
os.kill(os.getpid(), signal.SIGHUP)
wait(lambda: mine == [1])
engines = [Engine(script, ranks=1, reload_signal=name) for name in ("hup", "usr1", "usr2")]
os.kill(os.getpid(), signal.SIGUSR1)
wait(lambda: [e.stats()[0].reloads for e in engines] == [0, 1, 0])
other.close()
print("good")
"""


def test_signals_of_a_python_host(tmp_path: Path) -> None:
    Site(tmp_path, "queue").handler("return 1")
    host = tmp_path / "host.py"
    host.write_text(HOST.format(message=INVITE))
    ended = run([sys.executable, "-P", str(host), str(tmp_path / "handler.py")]).expect(0)
    assert ended.out == "good\n"


def test_a_signal_that_finds_a_broken_script(tmp_path: Path) -> None:
    site = Site(tmp_path, "queue")
    site.handler("return 1")
    site.start(reload_signal="usr1")
    try:
        site.handler("return 2", top="def (")
        os.kill(os.getpid(), signal.SIGUSR1)
        site.log.wait("reload on signal")
        assert site.go() == 1
        assert len([line for line in site.log.texts() if "SyntaxError" in line]) == 1
        site.handler("return 3")
        os.kill(os.getpid(), signal.SIGUSR1)
        site.log.wait("reloaded on signal")
        assert site.go() == 3
    finally:
        site.stop()


# ---- under load


RELOADS = [60, pytest.param(500, marks=[pytest.mark.stress, pytest.mark.timeout(1800)])]
GROWTH = 64 << 10  # octets for each reload of four ranks; docs/reload.md states it


@pytest.mark.parametrize("count", RELOADS)
def test_no_call_is_lost(tmp_path: Path, count: int) -> None:
    """Callers without a pause on four ranks; every third edit is broken. Memory is bounded."""
    site = Site(tmp_path, "queue")
    site.write("part.py", "VALUE = 1\n")
    top = "import threading, json\nimport part\nTABLE = {i: str(i) for i in range(2000)}"
    site.handler("return part.VALUE", top=top)
    stop = threading.Event()
    with Engine(tmp_path / "handler.py", ranks=4, log_level="alert") as engine:
        wrong: list[Any] = []
        made = [0] * 4

        def work(number: int) -> None:
            last = 0
            while not stop.is_set():
                result = engine.python_exec("go", INVITE, rank=number + 1)
                made[number] += 1
                if result.outcome != "returned" or result.code < last:
                    wrong.append((number, result.outcome, result.code, last, result.error))
                last = result.code

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        before = 0
        try:
            for turn in range(2, count + 2):
                if turn == count // 5:
                    before = settled()
                if turn % 3 == 0:
                    site.write("part.py", "VALUE = (\n")
                    with pytest.raises(errors.ScriptError):
                        engine.reload(timeout=LIMIT)
                site.write("part.py", f"VALUE = {turn}\n")
                engine.reload(timeout=LIMIT)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        grown = settled() - before
        assert not wrong, wrong[:3]
        assert [row.reloads for row in engine.stats()] == [count] * 4
        assert [row.calls for row in engine.stats()] == made
        assert [engine.python_exec("go", INVITE, rank=n).code for n in range(1, 5)] == [
            count + 1
        ] * 4
        assert grown / (count - count // 5) < GROWTH, grown


def settled() -> int:
    gc.collect()
    return resident()
