"""New code that fails: the old code goes on, as if nothing had been tried."""

import textwrap

import pytest

from isoexec import errors
from support.host import wait_until
from support.site import Site, apart

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
    "len(sys.meta_path), len(sys.path_hooks)]"
)


@pytest.mark.parametrize("case", BROKEN)
def test_the_old_code_goes_on(site: Site, case: str) -> None:
    site.write("part.py", "VALUE = 3\n")
    site.write("gone.py", "")
    site.handler("return part.VALUE", top="import part")
    site.start(ranks=2)
    before = [site.look(PICTURE, rank) for rank in (1, 2)]
    parts, expected = BROKEN[case]
    parts = dict(parts)
    first = """
    import atexit, types
    sys.modules["made"] = types.ModuleType("made")
    sys.path = ["/nowhere", *sys.path]
    class Finder:
        def find_spec(self, *_):
            return None
    sys.meta_path.append(Finder())
    def hook(path):
        raise ImportError(path)
    sys.path_hooks.append(hook)
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
    assert [site.look(PICTURE, rank) for rank in (1, 2)] == before
    site.log.wait("the reload failed")
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


ENDLESS = {
    "top": {"top": "while True: pass"},
    "mod_init": {"mod_init": "while True: pass"},
    "child_init": {"child_init": "while True: pass"},
    "swallowed": {
        "mod_init": """
    while True:
        try:
            while True: pass
        except BaseException:
            if time.monotonic() - began > 0.8: raise
""",
        "top": "import time; began = time.monotonic()",
    },
    "other module": {"top": "import endless"},
}


@pytest.mark.parametrize("case", ENDLESS)
def test_new_code_that_does_not_end(site: Site, case: str) -> None:
    """It has as long as the reload; calls go on with the old code, and nothing is left pending."""
    site.write("endless.py", "while True: pass\n")
    site.handler("return 3")
    site.start(ranks=2)
    site.handler("return 9", **ENDLESS[case])
    for _ in range(2):
        error = site.fails("rank 1: the new code did not load within 200 ms", timeout=0.2)
        assert "DeadlineExceeded" in error.traceback
        assert [site.go(rank=rank) for rank in (1, 2)] == [3, 3]
    assert all(site.go(rank=1 + number % 2) == 3 for number in range(2000))
    site.handler("return 4")
    site.reload(timeout=20)
    assert [site.go(rank=rank) for rank in (1, 2)] == [4, 4]


@apart
def test_new_code_beside_a_thread_that_does_not_end(site: Site) -> None:
    """On level main such a thread takes the GIL from every rank, whoever ends what."""
    spins = """
    import threading
    def spin():
        while not ended:
            pass
    ended = []
    thread = threading.Thread(target=spin)
    thread.start()
    try:
        while True: pass
    finally:
        ended.append(1)
        thread.join()
    """
    site.handler("return 3")
    site.start()
    site.handler("return 9", top=spins)
    for _ in range(2):
        site.fails("rank 1: the new code did not load within 200 ms", timeout=0.2)
        assert all(site.go() == 3 for _ in range(100))


def test_new_code_that_waits_outside_python(site: Site) -> None:
    """Nothing can end it: who asked for it hears so, and the rank serves when it is done."""
    site.handler("return 3")
    site.start()
    site.handler("return 4", top="import time; time.sleep(3)")
    with pytest.raises(errors.CallTimeoutError, match="has begun to load the new code"):
        site.reload(timeout=0.2)
    wait_until(lambda: site.go() in (3, 4))
    site.handler("return 5")
    site.reload(timeout=20)
    assert site.go() == 5


def test_code_that_loads_within_its_time(site: Site) -> None:
    """What is raised when the time is over never reaches a load that ends as it comes."""
    site.handler("return 0")
    site.start()
    for number in range(1, 40):
        site.handler(f"return {number}", top=f"import time; time.sleep({0.03 + number / 1000})")
        try:
            site.reload(timeout=0.05)
        except errors.ScriptError as error:
            assert "did not load within 50 ms" in str(error)
        except errors.CallTimeoutError:
            pass
        code = site.go()
        assert code <= number
        assert all(site.go() == code for _ in range(200))


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


def test_a_library_that_the_failed_code_loads_stays_whole(site: Site) -> None:
    """As six does it: a finder, and a module of its package that no finder has made."""
    site.write(
        "site-packages/shim.py",
        """
        import sys, types
        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                return None
        sys.meta_path.append(Finder)
        moves = sys.modules[__name__ + ".moves"] = types.ModuleType("moves")
        """,
    )
    top = "sys.path.append(__file__.rpartition('/')[0] + '/site-packages'); import shim.moves"
    site.handler("return 1")
    site.start()
    site.handler("return 2", top=f"{top}\n1/0")
    site.fails("ZeroDivisionError")
    if site.isolation == "own_gil":
        found = "import sys; [getattr(f, '__module__', '') for f in sys.meta_path].count('shim')"
        assert site.look(found) == 1
    site.handler("return 3", top=f"{top}\nassert any(f is shim.Finder for f in sys.meta_path)")
    site.reload()
    assert site.go() == 3
