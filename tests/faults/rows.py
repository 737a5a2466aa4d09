"""The rows of the matrix: each fault, what the peers make of it, what isoexec makes of it.

The peers' columns say in a few words what was measured with Kamailio 5.6.3 (app_python3) and
OpenSIPS 4.0.1 (python). `outcome` is what isoexec must say, on every level or by level.
"""

import logging
import signal
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from faults.cells import Cell, need
from isoexec import Engine
from isoexec.errors import ScriptError
from support.messages import request

LEVELS = ("own_gil", "main", "process")
ENDS_HOST = "the host ends: use process"

type Check = Callable[[str], str]


@dataclass(frozen=True)
class Row:
    """One fault. `ends`: the exit code of a host that an in-process rank takes with it."""

    name: str
    what: str
    kamailio: str
    opensips: str
    outcome: str
    run: Check
    by_level: dict[str, str]
    ends: int | None = None

    def expected(self, level: str) -> str:
        return self.by_level.get(level, self.outcome)


ROWS: list[Row] = []


def row(
    what: str,
    kamailio: str,
    opensips: str,
    outcome: str,
    by_level: dict[str, str] | None = None,
    ends: int | None = None,
) -> Callable[[Check], Check]:
    def add(check: Check) -> Check:
        name = check.__name__
        ROWS.append(Row(name, what, kamailio, opensips, outcome, check, by_level or {}, ends))
        return check

    return add


SAME = "same"
NEXT_CALL = "-1; the next call right"


def failed(cell: Cell, result: Any, outcome: str, words: str) -> str:
    need(result.code == -1 and result.outcome == outcome, f"{result.code} {result.outcome}")
    need(words in (result.error or ""), f"the error does not say {words}: {result.error}")
    cell.clean()
    return NEXT_CALL


def add_failing(
    name: str, what: str, kamailio: str, opensips: str, method: str, outcome: str, words: str
) -> None:
    """A row whose method fails in one way, with these words in the error."""

    def check(level: str) -> str:
        cell = Cell(level)
        return failed(cell, cell.call(method), outcome, words)

    check.__name__ = name
    row(what, kamailio, opensips, NEXT_CALL)(check)


# ---- what ends a call


add_failing(
    "raises",
    "handler raises",
    "-1, traceback in the log",
    SAME,
    "raises",
    "raised",
    "ValueError: no such route",
)
add_failing(
    "surrogate",
    "raises with a lone surrogate in the text",
    "the next message fails",
    "the next message fails",
    "surrogate",
    "raised",
    "ValueError",
)
add_failing(
    "missing",
    "method missing",
    "the next message fails",
    "the next message fails",
    "rout",
    "missing",
    "rout",
)


@row(
    "returns None, a text, an int too large",
    "no log; the next message fails",
    "no log; the next message fails",
    NEXT_CALL,
)
def bad_values(level: str) -> str:
    cell = Cell(level)
    for what in ("none", "text", "huge"):
        failed(cell, cell.call("returns", extra=what), "bad_value", "")
    return NEXT_CALL


@row("returns 0, -7", "0 ends the script, -7 is false", SAME, "0 and -7, as returned")
def codes(level: str) -> str:
    cell = Cell(level)
    need(cell.call("returns", extra="zero").code == 0, "0")
    need(cell.call("returns", extra="negative").code == -7, "-7")
    return "0 and -7, as returned"


add_failing(
    "sys_exit",
    "sys.exit(3)",
    "-1, nothing in the log",
    "-1, traceback in the log",
    "leaves",
    "exit",
    "SystemExit",
)
add_failing("recursion", "endless recursion", "-1", "-1", "recursion", "raised", "RecursionError")


# ---- messages that outlive their call

KEPT = request(call_id="kept@192.0.2.1")


@row("keeps msg, reads it later", "RuntimeError", "SystemError", "its own data")
def kept_message(level: str) -> str:
    cell = Cell(level)
    cell.call("keep", KEPT)
    cell.clean()
    need(cell.call("read_kept").code == 1, "the kept message reads otherwise")
    return "its own data"


@row("keeps msg.copy(), reads it later", "reads another caller's message", SAME, "its own data")
def kept_copy(level: str) -> str:
    cell = Cell(level)
    cell.call("keep_copy", KEPT)
    cell.clean()
    need(cell.call("read_copy").code == 1, "the copy reads otherwise")
    return "its own data"


@row(
    "a thread goes on reading a copy",
    "11 other callers' values",
    "587 other callers' values",
    "its own data",
)
def threaded_copy(level: str) -> str:
    cell = Cell(level)
    cell.call("watch_copy", KEPT)
    cell.clean(1000)
    need(cell.call("copies_seen").code == 1, "the thread saw another message")
    return "its own data"


# ---- time


@row(
    "sleeps 5 s; the other rank's calls",
    "one worker: 8 requests wait 4.5 s",
    SAME,
    "no call of the other rank waits",
)
def sleeps(level: str) -> str:
    cell = Cell(level)
    sleeper = cell.in_thread("sleeps", "5")
    calls = 0
    while sleeper.is_alive():
        need(cell.other_rank().code == 1, "the other rank's call")
        calls += 1
    need(calls > 100, f"only {calls} calls of the other rank in 5 s")
    return "no call of the other rank waits"


DEADLINE = 0.02
ENDED = "deadline within 1 ms (median), next 10,000 calls right"


def lateness(cell: Cell, method: str, tries: int = 15) -> float:
    """Median of how late the deadline ended the method, in ms."""
    late = []
    for _ in range(tries):
        began = time.perf_counter()
        result = cell.call(method)
        late.append((time.perf_counter() - began - DEADLINE) * 1e3)
        need(result.outcome == "deadline", f"{result.outcome}: {result.error}")
        need("eadline" in result.error, f"the error does not say why: {result.error}")
    return statistics.median(late)


def deadlined(level: str, method: str) -> str:
    """The bound is loose here, as the machine may be busy: `make deadline` measures it."""
    cell = Cell(level, deadline=DEADLINE)
    need(lateness(cell, method) < 20, "the deadline came much too late")
    cell.clean(10_000)
    return ENDED


@row("spins for ever", "its worker starves for ever", SAME, ENDED)
def spins(level: str) -> str:
    return deadlined(level, "spins")


@row("spins inside __del__", "its worker starves for ever", SAME, ENDED)
def spins_in_del(level: str) -> str:
    cell = Cell(level, deadline=DEADLINE)
    began = time.perf_counter()
    result = cell.call("spins_in_del")
    need(time.perf_counter() - began < 0.4, "the deadline did not end it")
    need(result.outcome in ("deadline", "returned"), result.outcome)
    cell.clean(10_000)
    return ENDED


@row("spins on under except BaseException", "its worker starves for ever", SAME, ENDED)
def spins_on(level: str) -> str:
    cell = Cell(level, deadline=DEADLINE)
    began = time.perf_counter()
    need(cell.call("spins_on").outcome == "deadline", "the second shot did not end it")
    need(time.perf_counter() - began < 0.4, "the second shot came late")
    cell.clean(10_000)
    return ENDED


@row("spins beside a busy thread of the script", "its worker starves for ever", SAME, ENDED)
def spins_with_thread(level: str) -> str:
    return deadlined(level, "spins_with_thread")


@row("spins in a nested call", "no such call", SAME, ENDED)
def spins_nested(level: str) -> str:
    cell = Cell(level, deadline=DEADLINE)
    result = cell.call("spins_nested")
    need(result.outcome == "deadline", f"the outer call: {result.outcome} {result.error}")
    cell.clean(10_000)
    return ENDED


STUCK = "caller answered at the deadline; rank replaced"


@row("sleeps past deadline and grace", "its worker waits", SAME, STUCK)
def stuck(level: str) -> str:
    cell = Cell(level, deadline=DEADLINE, grace=0.2)
    began = time.perf_counter()
    result = cell.call("sleeps", extra="3")
    need(result.outcome == "deadline", f"{result.outcome}: {result.error}")
    need(time.perf_counter() - began < 1, "the caller waited for the handler")
    need(cell.other_rank().code == 1, "the other rank")
    end = time.perf_counter() + 2
    while time.perf_counter() < end and cell.call("good").code != 1:
        time.sleep(0.05)
    cell.clean()
    need(time.perf_counter() < end, "the rank was not replaced while the handler slept")
    return STUCK


@row(
    "a deadline that comes as the call returns", "no deadlines", SAME, "never reaches the next call"
)
def late_deadline(level: str) -> str:
    cell = Cell(level, deadline=0.001)
    for number in range(300):
        result = cell.call("sleeps", extra=f"{0.0009 + number % 20 * 0.00001:.6f}")
        need(result.outcome in ("returned", "deadline"), result.outcome)
        began = time.perf_counter()
        code = cell.call("good").code
        own = time.perf_counter() - began > 0.001  # on a busy machine it passes its own deadline
        need(code == 1 or own, "the deadline reached the next call")
    return "never reaches the next call"


@row(
    "a thread from mod_init and one from child_init",
    "runs only while a handler runs; gone after the fork",
    "runs; gone after the fork",
    "both run while the rank is idle",
)
def threads(level: str) -> str:
    cell = Cell(level)
    before = int(cell.value(cell.call("ticks_of"), "X-Ticks"))
    time.sleep(0.3)
    after = int(cell.value(cell.call("ticks_of"), "X-Ticks"))
    need(after - before > 40, f"{after - before} ticks of two threads in 0.3 s")
    return "both run while the rank is idle"


# ---- the end of everything

CONTAINED = "that call: crashed; rank back within 1 s; others lose nothing"
IN_PROCESS = {"own_gil": ENDS_HOST, "main": ENDS_HOST}


def contained(level: str, method: str) -> str:
    cell = Cell(level)
    wrong: list[str] = []
    done = threading.Event()

    def others() -> None:
        while not done.is_set():
            result = cell.other_rank()
            if result.code != 1:
                wrong.append(f"{result.outcome} {result.error}")

    thread = threading.Thread(target=others)
    thread.start()
    try:
        result = cell.call(method)
        ended = time.perf_counter()
        need(result.outcome == "crashed" and result.code == -1, f"{result.code} {result.outcome}")
        cell.clean()
        need(time.perf_counter() - ended < 5, "the rank was long away")
    finally:
        done.set()
        thread.join()
    need(not wrong, f"the other rank: {wrong[:1]}")
    return CONTAINED


def add_contained(method: str, what: str, ends: int) -> None:
    """A row whose method ends the process that it runs in."""

    def check(level: str) -> str:
        return contained(level, method)

    check.__name__ = method
    row(what, "the whole proxy ends", SAME, CONTAINED, IN_PROCESS, ends)(check)


add_contained("os_exit", "os._exit(3)", 3)
add_contained("segfault", "segfault in C", -signal.SIGSEGV)
add_contained("killed", "kill -9 of the worker", -signal.SIGKILL)


# ---- messages


@row(
    "header with octets that are no UTF-8",
    "UnicodeDecodeError: can not be read",
    SAME,
    "read, and the same octets again",
)
def bad_octets(level: str) -> str:
    cell = Cell(level)
    message = request(b"X-Odd: \xff\xfe caf\xe9")
    result = cell.call("first_value", message, "X-Odd")
    need(cell.value(result, "X-Value") == repr("\udcff\udcfe caf\udce9"), "the value is another")
    need(b"X-Odd: \xff\xfe caf\xe9\r\n" in result.rendered, "the octets are others")
    return "read, and the same octets again"


@row("60 KB header", "fine", "fine", "fine")
def long_header(level: str) -> str:
    cell = Cell(level)
    result = cell.call("first_value", request("X-Long: " + "a" * 60_000), "X-Long")
    need(len(cell.value(result, "X-Value")) == 60_002, "the value is cut")
    return "fine"


def value_of(level: str, name: str, *headers: str, drop: bytes = b"") -> str:
    cell = Cell(level)
    message = request(*headers).replace(drop, b"") if drop else request(*headers)
    return cell.value(cell.call("first_value", message, name), "X-Value")


FROM = b"From: Alice <sip:alice@example.com>;tag=a1\r\n"


@row('compact "f:"; getHeader("From")', "None", "None", "found, both ways")
def compact(level: str) -> str:
    long = value_of(level, "From", "f: <sip:carol@example.com>;tag=c", drop=FROM)
    need("carol" in long, long)
    need("alice" in value_of(level, "f"), "the short name does not find the long one")
    return "found, both ways"


@row("header twice", "the first", "the first", "the first; headers() has all")
def repeated(level: str) -> str:
    need(value_of(level, "X-Two", "X-Two: 1", "X-Two: 2") == "'1'", "not the first")
    all_of_them = Cell(level).call("count_values", request("X-Two: 1", "X-Two: 2"), "X-Two")
    need(all_of_them.code == 2, "headers() has not all")
    return "the first; headers() has all"


@row("From and f: in one message", "no reply at all", "answers", "the first; the rest is read")
def both_forms(level: str) -> str:
    need("alice" in value_of(level, "From", "f: <sip:carol@example.com>;tag=c"), "not the first")
    return "the first; the rest is read"


@row('getHeader("a\\0b"), getHeader(3)', "ValueError, TypeError", SAME, "None, TypeError")
def bad_names(level: str) -> str:
    cell = Cell(level)
    need(cell.call("bad_names").code == 1, "other errors")
    return "None, TypeError"


@row(
    "Status of a request; call_function of a missing name",
    "RuntimeError",
    "SystemError",
    "RuntimeError",
)
def wrong_use(level: str) -> str:
    cell = Cell(level)
    need(cell.call("status_of_request").code == 1, "other errors")
    return "RuntimeError"


@row(
    "rewrite_ruri with CRLF", "header injected", "header injected", "ValueError; message unchanged"
)
def injection(level: str) -> str:
    cell = Cell(level)
    for uri in ("sip:a@b\r\nX-Bad: 1", "sip:a@b\nX: 1", "sip:a b@c", "sip:a\0@b"):
        result = cell.call("rewrite", extra=uri)
        need(result.code == 2 and not result.edits, f"{uri!r}: {result.code} {result.error}")
    return "ValueError; message unchanged"


@row('call_function("sl_send_reply", ...)', "works", "works", "works")
def host_function(level: str) -> str:
    cell = Cell(level)
    need(cell.call("host_function").code == 1, "the host function's result")
    need(cell.replied == ("480", "Busy"), "the arguments")
    return "works"


# ---- the world outside

REFUSED = "ImportError that names main and process"


@row("numpy, orjson, lxml", "work", "work", "work", {"own_gil": REFUSED})
def extensions(level: str) -> str:
    cell = Cell(level, deadline=30)
    for name in ("numpy", "orjson", "lxml.etree"):
        result = cell.call("imports", extra=name)
        if level == "own_gil":
            need(result.outcome == "raised", f"{name}: {result.outcome}")
            need('"main" or "process"' in result.error, f"{name}: no advice: {result.error}")
        else:
            need(result.code == 1, f"{name}: {result.error}")
    cell.clean()
    return REFUSED if level == "own_gil" else "work"


@row("subprocess.run", "works", "works", "works")
def subprocess_run(level: str) -> str:
    cell = Cell(level)
    result = cell.call("runs_program")
    need(result.code == 1, str(result.error))
    return "works"


@row(
    "which standard library",
    "the first python3 on PATH decides",
    SAME,
    "that of the Python it was built for",
)
def standard_library(level: str) -> str:
    cell = Cell(level)
    result = cell.call("stdlib_of")
    need(result.code == 1, str(result.error))
    return "that of the Python it was built for"


START = "start fails, traceback in the error"


def start_fails(level: str, *scripts: tuple[str, str]) -> str:
    with TemporaryDirectory() as folder:
        for number, (code, words) in enumerate(scripts):
            script = Path(folder) / f"script{number}.py"
            script.write_text(code, encoding="utf-8")
            try:
                Engine(script, ranks=2, isolation=level, grace=0.5).close()
            except ScriptError as error:
                need(words in f"{error}{error.traceback}", f"the error does not say {words}")
            else:
                need(False, f"started: {code}")
    return START


INIT = "class H:\n    def child_init(self, rank):\n        {}\ndef mod_init():\n    {}\n"


@row(
    "mod_init returns None, raises, sys.exit(4)",
    "refuses to start",
    "rc 0, rc 255, rc 4 without a log",
    START,
)
def mod_init(level: str) -> str:
    return start_fails(
        level,
        (INIT.format("return 0", "return None"), "None"),
        (INIT.format("return 0", "raise KeyError('k')"), "KeyError"),
        (INIT.format("return 0", "import sys; sys.exit(4)"), "SystemExit"),
    )


@row("child_init raises, returns None", "refuses to start", "dies, rc 0", START)
def child_init(level: str) -> str:
    return start_fails(
        level,
        (INIT.format("raise KeyError('k')", "return H()"), "KeyError"),
        (INIT.format("return None", "return H()"), "None"),
    )


@row(
    "child_init is called in",
    "every process: 0, 1..n, -1",
    "workers and timer",
    "each rank, once, with its number",
)
def init_numbers(level: str) -> str:
    cell = Cell(level)
    need(cell.value(cell.call("init_numbers"), "X-Numbers") == "[1]", "rank 1")
    need(cell.value(cell.other_rank("init_numbers"), "X-Numbers") == "[2]", "rank 2")
    return "each rank, once, with its number"


@row(
    "stop while a handler sleeps 30 s",
    "0.2 s",
    "5.3 s, then killed",
    "within the grace time, exit code 0",
)
def stop_while_busy(level: str) -> str:
    cell = Cell(level, grace=0.5)
    cell.in_thread("sleeps", "30")
    time.sleep(0.2)
    began = time.perf_counter()
    cell.engine.close()
    need(time.perf_counter() - began < 5, "the stop waited for the handler")
    return "within the grace time, exit code 0"


@row("logs of a rank", "lines of a process", SAME, "whole lines, with level and rank")
def logs(level: str) -> str:
    cell = Cell(level)
    cell.call("logs")
    end = time.perf_counter() + 5
    wanted = {("logged", logging.ERROR, 1), ("printed", logging.INFO, 1)}
    while time.perf_counter() < end and not wanted <= set(cell.lines):
        time.sleep(0.01)
    need(wanted <= set(cell.lines), f"the log has {cell.lines}")
    return "whole lines, with level and rank"
