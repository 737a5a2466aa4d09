"""The same messages, handlers, host functions and faults on the other isolation levels.

Each level runs test files of the suite again, with ``--level``: what they say holds on all levels,
but for what is named here with its reason.
"""

import sys

import pytest

from support.corpus import CHECKOUT, EXTERNAL
from support.run import run

FILES = [
    "test_bad_messages.py",
    "test_call_faults.py",
    "test_call_function.py",
    "test_corpus_cases.py",
    "test_corpus_handlers.py",
    "test_corpus_messages.py",
    "test_messages.py",
    "test_nesting.py",
    "test_output.py",
    "test_retention.py",
    "test_script_threads.py",
]

# name of a test, or a part of it: why it does not hold on the level
WITHOUT = {
    "main": {
        "rank-state": "the standard library is the host's: what hangs on it is shared",
        "im-isolation": "the same",
        "burn-th-block": "one GIL: a busy rank takes turns with the others",
        "lost_in_a_destructor": "sys.unraisablehook is the host's",
        "python_warning": "warnings are the host's, and pytest makes them errors",
        "exception_in_a_thread": "threading.excepthook is the host's",
        "daemon_thread": "threads are the host's: none is refused",
        "threads_that_are_not_allowed": "the same",
    },
    "process": {
        "pr-signal-asyncio": "signal handlers can be set in a process of its own",
        "daemon_thread": "daemon threads end with the process: none is refused",
    },
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("level", WITHOUT)
def test_the_suite_on_another_level(level: str) -> None:
    without = " and ".join(f"not {name}" for name in WITHOUT[level])
    command = [sys.executable, "-m", "pytest", "-q", "--level", level, "-k", without, *FILES]
    # What a script leaves open is the host's, where pytest would fail for it.
    command += ["-W", "ignore::pytest.PytestUnraisableExceptionWarning", "-p", "no:cacheprovider"]
    ended = run(command, cwd=CHECKOUT / "tests", limit=280, env={"ISOEXEC_CORPUS": str(EXTERNAL)})
    assert ended.code == 0, ended.out
    assert "passed" in ended.out
