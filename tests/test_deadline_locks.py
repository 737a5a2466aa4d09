"""A deadline that comes while the library holds a lock: the lock is let go of.

An exception between two instructions of a function that calls acquire() and then enters its `try`
would leave the lock held, and stop every other thread of the interpreter.
"""

import functools
import sys
from pathlib import Path

import pytest

from isoexec import Engine
from isoexec.errors import CallTimeoutError, ScriptError
from support.host import Host, recorded, wait_until
from support.messages import INVITE
from support.scripts import runs

SCRIPT = str(Path(__file__).resolve().parent / "handlers" / "library_locks.py")
pytestmark = pytest.mark.usefixtures("no_thread_stays")
WAYS = ["imports", "logs", "events", "conditions", "waits", "semaphores", "queues", "names"]


@pytest.fixture(autouse=True)
def plain_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    """With isolation main a deadline may meet a finalizer of the host, if the collector runs it in
    the call. pytest's hook for what that raises is long enough to meet the next shot."""
    monkeypatch.setattr(sys, "unraisablehook", sys.__unraisablehook__)


def try_often(host: Host, way: str, tries: int) -> None:
    for _ in range(tries):
        result = host.call("endless", extra=way)
        assert (result.outcome, result.code) == ("deadline", -1), (result, result.error)
        for rank in host.ranks:  # with isolation main the library is that of all ranks
            others = functools.partial(host.call, "others", extra=way, rank=rank)
            assert wait_until(lambda call=others: call().code == 1), f"rank {rank} hangs"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("isolation", ["own_gil", "main"])
def test_no_lock_of_the_library_stays_held(isolation: str, way: str) -> None:
    settings = {"isolation": isolation, "deadline": 0.002, "grace": 10}
    with Host(SCRIPT, ranks=2, **settings) as host:
        try_often(host, way, runs(100))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("isolation", ["own_gil", "main"])
def test_the_same_beside_a_busy_thread(isolation: str, way: str) -> None:
    settings = {"isolation": isolation, "deadline": 0.002, "grace": 10}
    with Host(SCRIPT, ranks=2, **settings) as host:
        busy = functools.partial(host.call, "busy", rank=2 if isolation == "main" else 1)
        assert wait_until(lambda: busy(extra="yes").code == 1)
        try_often(host, way, runs(20))
        assert wait_until(lambda: busy(extra="no").code == 1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("beside", ["", "busy thread"])
@pytest.mark.parametrize("isolation", ["own_gil", "main"])
def test_new_code_that_does_not_end(isolation: str, beside: str, way: str, tmp_path: Path) -> None:
    """A reload's limit raises too, in code that loads."""
    script = tmp_path / "script.py"
    good = Path(SCRIPT).read_text()
    script.write_text(good)
    endless = f"\nfirst = Handler()\nfirst.child_init(0)\nwhile True:\n    first.{way}()\n"
    with recorded(), Engine(str(script), ranks=1, isolation=isolation, grace=10) as engine:
        if beside:
            engine.python_exec("busy", INVITE, "yes", rank=1)
        for _ in range(runs(4 if beside else 10)):
            script.write_text(good + endless)
            with pytest.raises((ScriptError, CallTimeoutError)) as failure:  # this: a busy machine
                engine.reload(timeout=0.05)
            assert "DeadlineExceeded" in failure.value.traceback or failure.type is CallTimeoutError
            assert wait_until(
                lambda: engine.python_exec("others", INVITE, way, rank=1, timeout=10).code == 1
            )
        if beside:
            engine.python_exec("busy", INVITE, "no", rank=1)
