"""Scripts that do what they should not: an error or an answer, never a crash or a hang.

Each runs in a process of its own, since many break their interpreter for good."""

from pathlib import Path

import pytest

from support.run import run_python

HANDLER = Path(__file__).parent / "handlers" / "adversary.py"

# Opens ranks on threads of their own, calls a method three times, then `fine`.
HOST = """
import sys, threading
from isoexec import Engine
from support.messages import INVITE

def serve(number):
    with engine.open_rank(number) as rank:
        for _ in range(3):
            result = rank.python_exec(sys.argv[2], INVITE)
            seen.add(f"{result.code} {result.outcome}")
        fine.append(rank.python_exec("fine", INVITE).code)

threading.stack_size(8 << 20)
seen, fine = set(), []
with Engine(sys.argv[1], ranks=2, channel="inline", grace=1) as engine:
    threads = [threading.Thread(target=serve, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(*sorted(seen), fine)
"""

RETURNED, RAISED, BAD = "3 returned", "-1 raised", "-1 bad_value"
MISSING, EXIT = "-1 missing", "-1 exit"

METHODS = {
    # what a method can be
    "partial": RETURNED,
    "partial_method": RETURNED,
    "builtin": RAISED,
    "a_type": RAISED,
    "anything": RETURNED,
    "not_callable": MISSING,
    "none": MISSING,
    "static": RETURNED,
    "of_class": RETURNED,
    "broken": RAISED,
    "leaves": EXIT,
    "coroutine": BAD,
    "generator": BAD,
    "flag": "1 returned",
    "own_int": RETURNED,
    "an_object": RETURNED,
    # what belongs to the interpreter, taken away
    "own_module_gone": RAISED,
    "modules_gone": RAISED,
    "no_modules": RAISED,
    "modules_replaced": RAISED,
    "import_replaced": RAISED,
    "builtins_replaced": RAISED,
    "no_builtins": RETURNED,
    "path_replaced": RAISED,
    "finders_raise": RETURNED,
    "rules_gone": RAISED,
    "rules_misused": RETURNED,
    "module_object": RETURNED,
    # streams
    "stdout_object": RAISED,
    "stdout_none": RETURNED,
    "no_stdout": RAISED,
    "stderr_broken": RETURNED,
    "lines_without_end": RETURNED,
    "hooks_raise": RETURNED,
    # errors
    "del_in_del": RETURNED,
    "bad_class": RAISED,
    "bad_exit": EXIT,
    "exit_while_formatted": RAISED,
    "circular": RAISED,
    "deep_group": RAISED,
    "wide_group": RAISED,
    "long_text": RAISED,
    "many_lines": RAISED,
    "no_limit_in_c": RETURNED,
    "stop_iteration": RAISED,
    "cancelled": RAISED,
    "old_traceback": RAISED,
    "result_del_raises": BAD,
    "argument_kept_by_error": RAISED,
    # the interpreter
    "trace_raises": RAISED,
    "trace_all": RETURNED,
    "profile_raises": RAISED,
    "audit_raises": RETURNED,
    "monitoring": RETURNED,
    "collector": RETURNED,
    "all_objects": RETURNED,
    "switch_interval": RETURNED,
    "interrupted": RETURNED,
    "inner_interpreter": RETURNED,
    "context": RETURNED,
    "folder": RETURNED,
    "generators": RETURNED,
    "weak": RETURNED,
    "names": RAISED,
    # messages
    "misuse": RETURNED,
    "kept": RETURNED,
    "kept_to_the_end": RETURNED,
    "read_by_threads": RETURNED,
    "many_edits": RETURNED,
}
SLOW = ["long_chain", "long_trace"]  # seconds, in which CPython makes text of them


def hostile(folder: Path, method: str, outcome: str) -> None:
    ended = run_python(HOST, folder, str(HANDLER), method).expect()
    assert ended.out == f"{outcome} [7, 7]\n", ended.err[-2000:]


@pytest.mark.parametrize(("method", "outcome"), METHODS.items(), ids=METHODS.keys())
def test_a_hostile_method(method: str, outcome: str, tmp_path: Path) -> None:
    hostile(tmp_path, method, outcome)


@pytest.mark.stress
@pytest.mark.parametrize("method", SLOW)
def test_a_hostile_method_with_a_long_traceback(method: str, tmp_path: Path) -> None:
    hostile(tmp_path, method, RAISED)


@pytest.mark.parametrize("method", ["not_callable", "no_attribute"])
def test_a_method_is_not_said_to_be_nearest_to_itself(method: str, tmp_path: Path) -> None:
    """It is there, and can not be called, or its property failed: that is what the reason says."""
    ended = run_python(HOST, tmp_path, str(HANDLER), method).expect()
    assert f"the nearest is {method}" not in ended.err
    assert ("int" if method == "not_callable" else "an attribute of something else") in ended.err


# ---- what a script leaves running

SKELETON = """
import _thread, atexit, concurrent.futures, sys, threading, time
{top}
class H:
    def child_init(self, rank):
        {init}
        return 0
    def go(self, msg):
        return 3
    def fine(self, msg):
        return 7
    def child_exit(self, rank):
        {leave}
def mod_init():
    return H()
"""

LEAVINGS = {
    "low-level thread": {"init": "_thread.start_new_thread(time.sleep, (3,))"},
    "busy low-level thread": {
        "top": "def loop():\n    while True: time.sleep(0.001)",
        "init": "_thread.start_new_thread(loop, ())",
    },
    "thread of child_exit": {"leave": "threading.Thread(target=time.sleep, args=(30,)).start()"},
    "thread of an exit function": {
        "init": "atexit.register(threading.Thread(target=time.sleep, args=(30,)).start)"
    },
    "thread of a finalizer": {
        "top": "class D:\n"
        "    def __del__(self): threading.Thread(target=time.sleep, args=(30,)).start()",
        "init": "self.d = D()",
    },
    "timers without end": {
        "top": "def again(): threading.Timer(0.001, again).start()",
        "init": "again()",
    },
    "executor": {
        "init": "self.p = concurrent.futures.ThreadPoolExecutor(2); self.p.submit(time.sleep, 0.2)"
    },
    "exit functions raise": {
        "top": "def bad(): raise LookupError",
        "init": "atexit.register(bad); atexit.register(sys.exit, 4); atexit.register(bad)",
        "leave": "sys.exit(5)",
    },
    "thread exit functions raise": {"init": "threading._register_atexit(lambda: 1 / 0)"},
    "threading is broken": {
        "leave": "threading.enumerate = threading._shutdown = threading._threading_atexits = None"
    },
}


@pytest.mark.parametrize("leaving", LEAVINGS.values(), ids=LEAVINGS.keys())
def test_what_a_script_leaves(leaving: dict[str, str], tmp_path: Path) -> None:
    """The rank ends, or is abandoned after the grace time of a second; the host goes on."""
    parts = {"top": "", "init": "pass", "leave": "pass", **leaving}
    script = tmp_path / "handler.py"
    script.write_text(SKELETON.format(**parts), encoding="utf-8")
    ended = run_python(HOST, tmp_path, str(script), "go", limit=12).expect()
    assert ended.out == "3 returned [7, 7]\n"


# ---- handler objects

CACHED = """
import random

class Base:
    def go(self, msg):
        return 1

class Other(Base):
    def go(self, msg):
        return 2

class Getter(Base):
    def __getattr__(self, name):
        raise AttributeError(name)

class Answers(Base):
    def __getattribute__(self, name):
        if name == "go":
            return lambda msg: 4
        return object.__getattribute__(self, name)

class Mixin:
    def go(self, msg):
        return 5

class H(Base):
    def child_init(self, rank):
        self.random = random.Random(rank)
        return 0

    def turn(self, msg):
        how = self.random.choice(CHANGES)
        how(self)
        return 1

    def expected(self, msg):
        return self.go(msg)

def give(number):
    return lambda self, msg: number

class Text(str):
    __hash__ = str.__hash__

CHANGES = [
    lambda h: setattr(H, "go", give(10)),
    lambda h: setattr(Base, "go", give(11)),
    lambda h: vars(H).get("go") and delattr(H, "go"),
    lambda h: setattr(h, "go", lambda msg: 12),
    lambda h: vars(h).pop("go", None),
    lambda h: vars(h).update(go=lambda msg: 13),
    lambda h: vars(h).setdefault("go", lambda msg: 14),
    lambda h: vars(h).__setitem__(Text("go"), lambda msg: 15),
    lambda h: vars(h).__ior__({"go": lambda msg: 16}),
    lambda h: object.__setattr__(h, "go", lambda msg: 17),
    lambda h: setattr(h, "__dict__", dict(vars(h))),
    lambda h: setattr(h, "__dict__", {"random": h.random, "go": lambda msg: 18}),
    lambda h: setattr(h, "__dict__", {"random": h.random}),
    lambda h: vars(h).clear() or setattr(h, "random", random.Random(3)),
    lambda h: setattr(H, "__bases__", (Other,)),
    lambda h: setattr(H, "__bases__", (Mixin, Base)),
    lambda h: setattr(H, "__bases__", (Base,)),
    lambda h: setattr(H, "__bases__", (Getter,)),
    lambda h: setattr(H, "__bases__", (Answers,)),
    lambda h: setattr(H, "go", property(lambda self: lambda msg: 19)),
    lambda h: setattr(H, "go", staticmethod(lambda msg: 20)),
    lambda h: setattr(H, "go", classmethod(lambda cls, msg: 21)),
    lambda h: setattr(Base.go, "__code__", (lambda self, msg: 22).__code__),
    lambda h: setattr(h, "__class__", type("Made", (H,), {"go": give(23)})),
    lambda h: setattr(h, "__class__", type("Made", (H,), {})),
    lambda h: setattr(h, "__class__", H),
]

def mod_init():
    return H()
"""


@pytest.mark.parametrize(
    "turns", [3000, pytest.param(300_000, marks=[pytest.mark.stress, pytest.mark.timeout(700)])]
)
def test_a_method_is_never_stale(turns: int, tmp_path: Path) -> None:
    """What is called is what `handler.go` is now, however the script changed it."""
    (tmp_path / "handler.py").write_text(CACHED, encoding="utf-8")
    run_python(
        """
        import sys
        from isoexec import Engine
        from support.messages import INVITE

        with Engine("handler.py", ranks=1, channel="inline") as engine, engine.open_rank(1) as rank:
            for turn in range(int(sys.argv[1])):
                rank.python_exec("turn", INVITE)
                codes = [rank.python_exec(name, INVITE).code for name in ("go", "expected", "go")]
                assert len(set(codes)) == 1 and codes[0] > 0, (turn, codes)
        """,
        tmp_path,
        str(turns),
        limit=60 + turns // 500,
    ).expect()


HANDLERS = {
    "module": "import sys\ndef child_init(rank): return 0\ndef go(msg): return 3\n"
    "def fine(msg): return 7\ndef mod_init(): return sys.modules[__name__]",
    "class": "class H:\n    child_init = staticmethod(lambda rank: 0)\n"
    "    go = staticmethod(lambda msg: 3)\n    fine = staticmethod(lambda msg: 7)\n"
    "def mod_init(): return H",
    "slots": "class H:\n    __slots__ = ('rank', 'go')\n    def child_init(self, rank):\n"
    "        self.go = lambda msg: 3\n        return 0\n    def fine(self, msg): return 7\n"
    "mod_init = H",
    "getattr": "class H:\n    def __getattr__(self, name):\n"
    "        return {'child_init': lambda rank: 0, 'go': lambda msg: 3,\n"
    "                'fine': lambda msg: 7}[name]\nmod_init = H",
    "dict": "class H(dict):\n    def child_init(self, rank): return 0\n"
    "    def go(self, msg): return 3\n    def fine(self, msg): return 7\nmod_init = H",
    "false": "class H:\n    def __bool__(self): raise LookupError\n    __eq__ = __bool__\n"
    "    __len__ = __bool__\n    def child_init(self, rank): return 0\n"
    "    def go(self, msg): return 3\n    def fine(self, msg): return 7\nmod_init = H",
    "tuple": "import collections\nH = collections.namedtuple('H', 'child_init go fine')\n"
    "def mod_init(): return H(lambda rank: 0, lambda msg: 3, lambda msg: 7)",
}


@pytest.mark.parametrize("text", HANDLERS.values(), ids=HANDLERS.keys())
def test_a_handler_of_any_kind(text: str, tmp_path: Path) -> None:
    script = tmp_path / "handler.py"
    script.write_text(text, encoding="utf-8")
    ended = run_python(HOST, tmp_path, str(script), "go").expect()
    assert ended.out == "3 returned [7, 7]\n"


NAMES = {
    "space": "with space",
    "umlaut": "\u00fcml\u00e4ut \u4e2d",
    "percent": "%s%n",
    "quote": "quote'\"",
    "octets": "\udcff\udcfe",
    "long": "a" * 200,
}


@pytest.mark.parametrize(
    "name", NAMES, ids=["space", "umlaut", "percent", "quote", "octets", "long"]
)
@pytest.mark.parametrize("place", ["folder", "file"])
def test_a_script_with_an_odd_name(name: str, place: str, tmp_path: Path) -> None:
    folder = tmp_path / name if place == "folder" else tmp_path
    folder.mkdir(exist_ok=True)
    script = folder / (f"{name}.py" if place == "file" else "handler.py")
    script.write_text(HANDLERS["module"], encoding="utf-8")
    ended = run_python(HOST, tmp_path, str(script), "go").expect()
    assert ended.out == "3 returned [7, 7]\n"


def test_a_script_that_closes_the_standard_streams(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(
        "import os, sys\n"
        "class H:\n"
        "    def child_init(self, rank):\n"
        "        for descriptor in (0, 1, 2): os.close(descriptor)\n"
        "        return 0\n"
        "    def go(self, msg):\n"
        "        print('out'); print('err', file=sys.stderr)\n"
        "        raise ValueError\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    text = """
from isoexec import Engine
from support.messages import INVITE
import os
with Engine("handler.py", ranks=1, channel="inline") as engine, engine.open_rank(1) as rank:
    code = rank.python_exec("go", INVITE).code
os._exit(9 if code == -1 else 1)
"""
    run_python(text, tmp_path).expect(9)
