"""isoexec.interpreters in programs of their own: exit codes, an engine beside it, many of them."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from support.run import run_python

NEEDS_BACKPORT = sys.version_info < (3, 14)

if NEEDS_BACKPORT and importlib.util.find_spec("backports") is None:
    pytest.skip("pip install isoexec[interpreters]", allow_module_level=True)

RUNS = int(os.environ.get("ISOEXEC_RUNS", "1"))

PROLOGUE = """
import os, sys, threading, time
from isoexec import interpreters

THREAD = "import threading, time; threading.Thread(target=time.sleep, args=(0.3,)).start()"

def use():
    # Keyword calls into extension modules: what CPython before 3.12.4 aborts of at exit.
    import asyncio, datetime, hashlib, ssl, urllib.request
    hashlib.md5(b"", usedforsecurity=False)
    ssl.create_default_context()
    asyncio.run(asyncio.sleep(0))
    return datetime.date(2026, 1, 1).isoformat()

def new():
    made = interpreters.create()
    assert made.call(use) == "2026-01-01"
    return made
"""

ENDINGS = {
    "closed": (3, "new().close(); sys.exit(3)"),
    "with": (3, "with new() as made: sys.exit(3)"),
    "left open": (3, "kept = new(), new(); sys.exit(3)"),
    "dropped": (0, "new()"),
    "SystemExit": (4, "kept = new(); raise SystemExit(4)"),
    "exception": (1, "kept = new(); raise LookupError"),
    "os._exit": (5, "kept = new(); os._exit(5)"),
    "exit inside": (
        6,
        "try: new().call(sys.exit, 9)\nexcept interpreters.ExecutionFailed: sys.exit(6)",
    ),
    "used by a thread": (
        7,
        "kept = interpreters.create()\nkept.call_in_thread(use).join()\nsys.exit(7)",
    ),
    "a thread that goes on": (
        8,
        "kept = new()\nkept.call_in_thread(time.sleep, 0.5)\nsys.exit(8)",
    ),
    "threads inside": (
        9,
        "kept = new()\nkept.exec(THREAD)\nsys.exit(9)",
    ),
    "exit functions inside": (
        2,
        "kept = new()\nkept.exec('import atexit; atexit.register(print, 1)')\nsys.exit(2)",
    ),
    "none made": (2, "sys.exit(2)"),
}


@pytest.mark.parametrize(("code", "text"), ENDINGS.values(), ids=ENDINGS.keys())
def test_the_exit_code_is_the_programs_own(code: int, text: str, tmp_path: Path) -> None:
    program = f"{PROLOGUE}\nif __name__ == '__main__':\n" + "".join(
        f"    {line}\n" for line in text.splitlines()
    )
    for _ in range(RUNS):
        ended = run_python(program, tmp_path).expect(code)
        assert "isoexec" not in ended.err
        assert ended.err == "" or code == 1


def test_a_daemon_thread_that_is_inside_at_exit(tmp_path: Path) -> None:
    ended = run_python(
        """
        import sys, threading, time
        from isoexec import interpreters

        made = interpreters.create()
        inside = "import time\\nwhile True: time.sleep(0.01)"
        threading.Thread(target=made.exec, args=(inside,), daemon=True).start()
        while not made.is_running():
            time.sleep(0.01)
        print("left")
        sys.exit(4)
        """,
        tmp_path,
    )
    assert ended.out == "left\n"
    if sys.version_info < (3, 14):
        ended.expect(1)
        assert "still running at exit" in ended.err


def test_importing_starts_nothing(tmp_path: Path) -> None:
    run_python(
        """
        import sys, threading
        import isoexec
        assert not [n for n in sys.modules if "interpreters" in n]
        loaded, threads = set(sys.modules), threading.enumerate()
        from isoexec import interpreters
        assert threading.enumerate() == threads
        assert [made.id for made in interpreters.list_all()] == [0]
        assert "datetime" not in sys.modules or "datetime" in loaded
        """,
        tmp_path,
    ).expect()


def test_the_import_says_what_to_install_if_something_is_needed(tmp_path: Path) -> None:
    run_python(
        f"""
        import sys
        sys.modules["backports.interpreters"] = None
        try:
            import isoexec.interpreters
        except ImportError as error:
            assert {NEEDS_BACKPORT}
            assert str(error).endswith("pip install isoexec[interpreters]"), error
        else:
            sys.exit({int(NEEDS_BACKPORT)})
        """,
        tmp_path,
    ).expect()


@pytest.mark.slow
def test_two_hundred_cycles(tmp_path: Path) -> None:
    run_python(
        """
        from isoexec import interpreters
        if __name__ == "__main__":
            for number in range(200):
                with interpreters.create() as made:
                    assert made.call(lambda a: a + 1, number) == number + 1
            assert len(interpreters.list_all()) == 1
        """,
        tmp_path,
        limit=110.0,
    ).expect()


def test_four_threads_in_parallel(tmp_path: Path) -> None:
    program = (
        PROLOGUE
        + """
def serve(barrier, answers):
    with interpreters.create() as made:
        barrier.wait()
        # At once, each its first import of these.
        assert made.call(use) == "2026-01-01"
        for number in range(50):
            assert made.call(lambda n: sum(range(n)), number) == number * (number - 1) // 2
        queue = interpreters.create_queue()
        made.call(lambda q: q.put("done"), queue)
        answers.append(queue.get(timeout=60))

if __name__ == "__main__":
    barrier, answers = threading.Barrier(4), []
    threads = [threading.Thread(target=serve, args=(barrier, answers)) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert answers == ["done"] * 4, answers
    sys.exit(3)
"""
    )
    for _ in range(RUNS):
        run_python(program, tmp_path).expect(3)


def test_functions_of_the_program_itself(tmp_path: Path) -> None:
    run_python(
        """
        from isoexec import Engine, errors, interpreters
        from isoexec.interpreters import ExecutionFailed

        LIMIT = 5

        def limited(number, top=None):
            return min(number, LIMIT if top is None else top)

        def make():
            return interpreters.create()

        class Mine(errors.IsoexecError):
            pass

        if __name__ == "__main__":
            with interpreters.create() as made:
                assert made.call(limited, 9) == 5
                assert made.call(limited, 9, top=7) == 7
                try:
                    made.call(make)
                except ExecutionFailed as error:
                    assert "cannot be used inside an interpreter" in str(error), error
                else:
                    raise SystemExit(1)
        """,
        tmp_path,
    ).expect()


ENGINE = """
import os, sys, threading, time
from isoexec import Engine, interpreters
from support.messages import OPTIONS

HANDLER = '''
class Handler:
    def child_init(self, rank):
        return 0
    def go(self, msg, args=None):
        import datetime, hashlib
        hashlib.md5(b"", usedforsecurity=False)
        return datetime.date(2026, 1, 7).day
def mod_init():
    return Handler()
'''

def use():
    import datetime, hashlib
    hashlib.md5(b"", usedforsecurity=False)
    return datetime.date(2026, 1, 7).day

def engine_part(calls):
    with Engine("handler.py", ranks=2, channel="inline") as engine:
        with engine.open_rank(1) as rank:
            calls(lambda: rank.python_exec("go", OPTIONS).code)

def interpreter_part(calls):
    with interpreters.create() as made:
        calls(lambda: made.call(use))

def many(call):
    for _ in range(20):
        assert call() == 7

def within(other):
    def calls(call):
        many(call)
        other(many)
        many(call)
    return calls

if __name__ == "__main__":
    with open("handler.py", "w") as file:
        file.write(HANDLER)
"""

BESIDE = {
    "engine first": "engine_part(within(interpreter_part))",
    "interpreter first": "interpreter_part(within(engine_part))",
    "one after the other": "engine_part(many); interpreter_part(many); engine_part(many)",
    "at once": "threads = [threading.Thread(target=part, args=(many,))"
    " for part in (engine_part, interpreter_part) * 2]\n"
    "    for thread in threads: thread.start()\n"
    "    for thread in threads: thread.join()",
    "both left open": "kept = interpreters.create(); kept.call(use)\n"
    "    engine = Engine('handler.py', ranks=1, channel='inline'); rank = engine.open_rank(1)\n"
    "    many(lambda: rank.python_exec('go', OPTIONS).code)\n"
    "    more = interpreters.create(); more.call(use)",
    "ranks are only looked at": "with Engine('handler.py', ranks=1, channel='inline') as engine:\n"
    "        with engine.open_rank(1) as rank:\n"
    "            found = [i for i in interpreters.list_all() if i.id != 0]\n"
    "            assert len(found) == 1, found\n"
    "            try: found[0].exec('pass')\n"
    "            except interpreters.InterpreterError: pass\n"
    "            else: raise AssertionError\n"
    "            del found\n"
    "            many(lambda: rank.python_exec('go', OPTIONS).code)",
}


@pytest.mark.parametrize("text", BESIDE.values(), ids=BESIDE.keys())
def test_an_engine_beside_it(text: str, tmp_path: Path) -> None:
    for _ in range(RUNS):
        ended = run_python(f"{ENGINE}\n    {text}\n    sys.exit(3)\n", tmp_path)
        ended.expect(3)
