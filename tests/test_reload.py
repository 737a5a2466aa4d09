"""New code for a script that serves: what is reloaded, and what ends the old code.

Each test edits real files and reloads them, on both channels.
"""

import os
import py_compile
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isoexec import Engine
from support.host import wait_until
from support.messages import INVITE
from support.site import Site, apart

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
    if layout == "relative":
        site.write("pack/middle.py", "from . import part\n")
    else:
        site.write("middle.py", "import part\n")
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


@pytest.mark.parametrize("member", ["value = {}", "def value(self): return {}"])
def test_one_that_puts_an_object_in_its_place(site: Site, member: str) -> None:
    text = f"""
    import sys
    class Facade:
        {member}
    sys.modules[__name__] = Facade()
    """
    site.write("facade.py", text.format(1))
    site.handler(
        "return facade.value() if callable(facade.value) else facade.value", top="import facade"
    )
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


def test_a_module_loaded_by_its_path(site: Site) -> None:
    """An edit within the same second and of the same size too."""
    top = """
    from importlib import util
    spec = util.spec_from_file_location("plugged", __file__.replace("handler", "plug"))
    plugged = sys.modules["plugged"] = util.module_from_spec(spec)
    spec.loader.exec_module(plugged)
    """
    path = site.write("plug.py", "VALUE = 1\n")
    site.handler("return plugged.VALUE", top=top)
    site.start()
    assert site.go() == 1
    before = path.stat()
    path.write_text("VALUE = 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    site.reload()
    assert site.go() == 2


def test_a_script_that_is_a_pyc(site: Site) -> None:
    """No source is there to compile it from."""
    script = site.folder / "handler.py"
    site.handler("return 1")
    compiled = site.folder / "compiled.pyc"
    py_compile.compile(str(script), str(compiled), doraise=True)
    site.start(script="compiled.pyc")
    site.handler("return 2")
    py_compile.compile(str(script), str(compiled), doraise=True)
    site.reload()
    assert site.go() == 2
    assert compiled.exists()
