"""Ranks with isolation process: what only they have. `test_levels.py` says what is as elsewhere."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, errors
from support.host import Host, wait_until
from support.messages import INVITE, request
from support.run import run_python

SCRIPT = Path(__file__).parent / "handlers" / "process_rank.py"

Open = Callable[..., Host]


@pytest.fixture
def open_host() -> Iterator[Open]:
    hosts: list[Host] = []

    def start(ranks: int = 1, script: Path = SCRIPT, **settings: Any) -> Host:
        options = {"isolation": "process", "grace": 5.0, "restart_delay": 0.01, **settings}
        hosts.append(Host(script, ranks, **options))
        return hosts[-1]

    yield start
    for host in hosts:
        host.__exit__()


def pid_of(host: Host, rank: int = 1) -> int:
    return host.engine.stats()[rank - 1].pid


def is_there(pid: int) -> bool:
    """Also a zombie is there."""
    return Path(f"/proc/{pid}").exists()


def runs(pid: int) -> bool:
    """A zombie that nobody collects does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2][1] != "Z"
    except OSError:
        return False


def wait_until_back(host: Host, before: int) -> None:
    assert wait_until(lambda: pid_of(host) not in (0, before)), "the process did not come back"


# ---- sizes


@pytest.mark.parametrize("size", [0, 1_000, 60_000, 1_000_000, 5_000_000])
def test_messages_of_every_size(open_host: Open, size: int) -> None:
    host = open_host()
    message = request(body=b"b" * size)
    for _ in range(3):
        assert host.call("length", message).code == len(message)
        assert host.call("checksum", message).code == sum(message) & 0x7FFFFFFF
        assert host.call("length", INVITE).code == len(INVITE)


def test_large_answers(open_host: Open) -> None:
    host = open_host()
    result = host.call("body", extra="5000000")
    assert result.edits[0].value == b"x" * 5_000_000
    assert host.call("long_error").error.count("long ") >= 20_000
    result = host.call("many_edits", extra="2000")
    assert [edit.name for edit in result.edits] == [f"X-{number}" for number in range(2000)]
    assert host.call("one").edits == ()


def test_many_headers(open_host: Open) -> None:
    message = request(*(f"X-{number}: {number}" for number in range(500)))
    assert open_host().call("count", message).code == 507


def test_a_message_that_is_too_large_is_refused(open_host: Open) -> None:
    host = open_host()
    with pytest.raises(errors.IsoexecError, match="too small"):
        host.call("length", request(body=b"b" * (130 << 20)))
    assert host.call("one").code == 1


# ---- what a process has


def test_a_process_of_its_own(
    open_host: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISOEXEC_PROBE", "of the host")
    facts: dict[str, Any] = {}

    def report(call: Any, text: str) -> int:
        facts.update(json.loads(text))
        return 1

    settings = {"environment": "ISOEXEC_PROBE=of the rank", "memory_limit": "512M"}
    of_the_host = tmp_path / "open"
    fd = os.open(of_the_host, os.O_CREAT | os.O_WRONLY)
    os.set_inheritable(fd, True)
    host = open_host(functions={"report": report}, **settings)
    os.close(fd)
    assert host.call("inside").code == 1
    assert facts["stdin"] == "" and facts["env"] == facts["sh"] == "of the rank"
    assert facts["open"][0] == "/dev/null" and str(of_the_host) not in facts["open"]
    assert facts["main"] and facts["group"]
    assert 512 << 20 < facts["limit"] < 3 << 30
    assert facts["version"] == list(sys.version_info[:2]) and facts["prefix"] == sys.prefix


def test_fork_and_daemon_threads_are_allowed(open_host: Open) -> None:
    host = open_host()
    assert host.call("fork").code == 1
    assert host.call("one").code == 1
    host.log.wait("from the fork")
    assert host.call("daemon").code == 1
    began = time.monotonic()
    host.__exit__()
    assert time.monotonic() - began < 4.0, "the end waited for a daemon thread"


def test_a_hog_gets_memory_error(open_host: Open) -> None:
    host = open_host(memory_limit="512M")
    result = host.call("hog")
    assert result.outcome == "raised" and "MemoryError" in result.error
    assert host.call("one").code == 1


# ---- logs


def test_logs_come_in_order_before_the_call_returns(open_host: Open) -> None:
    host = open_host()
    host.call("levels")
    host.log.wait("information")
    lines = [(r.levelname, r.getMessage()) for r in host.log.records if r.getMessage() != "raw"]
    assert [text for _, text in lines] == ["an error", "printed", "logged", "information"]
    assert [level for level, _ in lines] == ["ERROR", "INFO", "WARNING", "INFO"]
    host.log.wait("raw", rank=1)


def test_logs_of_threads_while_idle(open_host: Open) -> None:
    host = open_host()
    host.call("later")
    host.log.wait("from a thread", rank=1)


def test_a_flood_of_lines(open_host: Open) -> None:
    """None is lost in the memory that is shared; the host's own queue of lines may drop some."""
    host = open_host()
    before = host.engine.stats()[0].log_lines
    assert host.call("flood", extra="50000").code == 1
    assert host.engine.stats()[0].log_lines - before == 50_000


# ---- the end of a process


ENDS = {
    "segv": "SIGSEGV",
    "abort": "SIGABRT",
    "SIGKILL": "SIGKILL",
    "exit": "status 3",
    "thread": "status 4",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_crash_costs_the_call(open_host: Open, how: str) -> None:
    events: list[tuple[str, int]] = []
    host = open_host(2, on_event=lambda event, rank: events.append((event, rank)))
    before, other = pid_of(host), pid_of(host, 2)
    result = host.call("end", extra=how)
    assert (result.code, result.outcome) == (-1, "crashed")
    assert ENDS[how] in result.error and 'python_exec("end")' in result.error
    assert host.call("one").code == 1
    assert host.call("one", rank=2).code == 1
    assert pid_of(host) != before and pid_of(host, 2) == other
    stats = host.engine.stats()[0]
    assert (stats.outcomes["crashed"], stats.restarts) == (1, 1)
    assert wait_until(lambda: events == [("crashed", 1), ("restarted", 1)]), events
    host.log.wait("last words", rank=1)
    assert wait_until(lambda: not is_there(before)), "a zombie"


def test_the_last_stack_is_told(open_host: Open) -> None:
    host = open_host()
    assert "process_rank.py" in host.call("end", extra="segv").error
    host.log.wait("Fatal Python error: Segmentation fault", rank=1)


def test_a_crash_while_idle(open_host: Open) -> None:
    host = open_host()
    before = pid_of(host)
    os.kill(before, signal.SIGKILL)
    wait_until_back(host, before)
    assert host.call("one").code == 1
    assert host.engine.stats()[0].outcomes["crashed"] == 0
    host.log.wait("was ended by SIGKILL")


def test_a_crash_in_a_host_function(open_host: Open) -> None:
    host: Host

    def ask(call: Any, text: str | None) -> int:
        os.kill(pid_of(host), signal.SIGKILL)
        nested = host.ranks[1].rank.python_exec("inner", call.raw)
        assert nested.outcome == "crashed"
        return 1

    host = open_host(functions={"ask": ask})
    host.ranks[1].run(lambda opened: setattr(host.ranks[1], "rank", opened))
    assert host.call("ask", extra="x").outcome == "crashed"
    assert host.call("one").code == 1


def test_many_crashes_lose_nothing_else(open_host: Open) -> None:
    host = open_host(2)
    for _ in range(5):
        results = host.each("one")
        assert [result.code for result in results] == [1, 1]
        assert host.call("end", extra="exit").outcome == "crashed"


def test_restart_limit(open_host: Open) -> None:
    host = open_host(restart_limit=2)
    for _ in range(3):
        assert host.call("end", extra="exit").outcome == "crashed"
    result = host.call("one")
    assert result.outcome == "crashed" and "restart_limit" in result.error


def test_a_stopped_process(open_host: Open) -> None:
    host = open_host(grace=0.3)
    result = host.call("end", extra="stop")
    assert result.outcome == "crashed" and "stopped" in result.error
    assert host.call("one").code == 1


def test_a_script_that_breaks_is_not_started_again(open_host: Open, tmp_path: Path) -> None:
    script = tmp_path / "breaks.py"
    script.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    host = open_host(script=script, grace=0.5)
    script.write_text("raise LookupError('broken meanwhile')\n", encoding="utf-8")
    assert host.call("end", extra="exit").outcome == "crashed"
    assert host.call("one").outcome == "crashed"
    host.log.wait("could not be started again")
    host.log.wait("broken meanwhile")
    script.write_text(SCRIPT.read_text(encoding="utf-8"), encoding="utf-8")
    assert wait_until(lambda: host.call("one").code == 1)


# ---- deadlines


def test_a_deadline_in_python(open_host: Open) -> None:
    host = open_host(deadline=0.05)
    before = pid_of(host)
    for _ in range(3):
        result = host.call("spin")
        assert (result.code, result.outcome) == (-1, "deadline")
        # On a busy machine the caller may be answered before the traceback is there.
        assert "DeadlineExceeded" in result.error or "still runs" in result.error
        assert wait_until(lambda: host.call("one").code == 1)
    assert pid_of(host) == before


def test_a_late_call_ends_by_itself(open_host: Open) -> None:
    host = open_host(deadline=0.3)
    before = pid_of(host)
    result = host.call("sleep", extra="0.5")
    assert result.outcome == "deadline" and "still runs" in result.error
    assert host.call("one").code == 1
    assert pid_of(host) == before


def test_a_stuck_process_is_replaced(open_host: Open) -> None:
    events: list[str] = []
    host = open_host(deadline=0.05, grace=0.2, on_event=lambda event, rank: events.append(event))
    before = pid_of(host)
    assert host.call("sleep", extra="60").outcome == "deadline"
    wait_until_back(host, before)
    assert wait_until(lambda: host.call("one").code == 1)
    assert wait_until(lambda: events == ["stuck", "restarted"]), events


def test_a_stuck_process_is_kept(open_host: Open) -> None:
    events: list[str] = []
    host = open_host(
        deadline=0.05,
        grace=0.1,
        on_stuck="keep",
        on_event=lambda event, rank: events.append(event),
    )
    before = pid_of(host)
    assert host.call("sleep", extra="0.6").outcome == "deadline"
    assert host.call("one").outcome == "deadline"
    assert wait_until(lambda: events == ["stuck", "freed"]), events
    assert host.call("one").code == 1
    assert pid_of(host) == before


def test_a_deadline_in_a_nested_call(open_host: Open) -> None:
    """What the process asks after the deadline fails, and the call unwinds."""
    outcomes: list[str] = []
    host: Host

    def ask(call: Any, text: str | None) -> int:
        nested = host.ranks[1].rank.python_exec("sleep", call.raw, "0.5")
        outcomes.append(nested.outcome)
        return 1

    host = open_host(functions={"ask": ask}, deadline=0.2)
    host.ranks[1].run(lambda opened: setattr(host.ranks[1], "rank", opened))
    before = pid_of(host)
    assert host.call("ask", extra="x").outcome == "deadline"
    assert outcomes == ["deadline"]
    assert wait_until(lambda: host.call("one").code == 1)
    assert pid_of(host) == before


# ---- a start that fails


def test_executables_that_do_not_serve(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 'no Python at all' >&2; exit 5\n", encoding="utf-8")
    old.chmod(0o755)
    for path, words in (("/nonexistent/python", "No such file"), (str(old), "no Python at all")):
        with pytest.raises(errors.IsoexecError, match=words):
            Host(SCRIPT, 1, isolation="process", python_executable=path)


def test_a_python_of_another_version(tmp_path: Path) -> None:
    other = tmp_path / "python3.9"
    other.write_text(
        f"#!{sys.executable}\n"
        "import sys\n"
        "sys.version_info = (3, 9, 0)\n"
        "boot = sys.argv.index('-c') + 1\n"
        "source, sys.argv[:] = sys.argv[boot], ['-c', *sys.argv[boot + 1 :]]\n"
        "exec(source)\n",
        encoding="utf-8",
    )
    other.chmod(0o755)
    with pytest.raises(errors.IsoexecError, match=r"is Python 3.9, .* set python_executable"):
        Host(SCRIPT, 1, isolation="process", python_executable=str(other))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("import os; os._exit(9)", "status 9"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("raise LookupError('at import')", "could not be loaded"),
        ("def mod_init(): raise LookupError('in mod_init')", "mod_init"),
    ],
)
def test_scripts_that_do_not_start(tmp_path: Path, body: str, words: str) -> None:
    script = tmp_path / "broken.py"
    script.write_text(body, encoding="utf-8")
    with pytest.raises(errors.IsoexecError, match=words):
        Host(script, 1, isolation="process")


# ---- the end of the host


def test_the_script_ends_in_order(open_host: Open) -> None:
    host = open_host()
    pid = pid_of(host)
    host.ranks.pop(1).close()
    assert not is_there(pid)
    host.log.wait("child_exit ran")
    host.log.wait("atexit ran")


HOST = f"""
    import sys, time
    from isoexec import Engine
    from support.messages import INVITE

    with Engine({str(SCRIPT)!r}, ranks=2, isolation="process") as engine:
        for number in (1, 2):
            print(engine.python_exec("pid", INVITE, rank=number).code, flush=True)
        sys.stdin.read() if sys.argv[1:] == ["wait"] else None
"""


def test_a_host_that_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "host.py"
    program.write_text("\n".join(line[4:] for line in HOST.splitlines()), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(
        [sys.executable, str(program), "wait"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
        start_new_session=True,
    ) as host:
        assert host.stdout is not None
        pids = [int(host.stdout.readline()) for _ in range(2)]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for pid in pids:
                os.kill(pid, number)
        time.sleep(0.2)
        assert all(map(is_there, pids)), "a signal of the terminal ended a process"
        host.kill()
    assert wait_until(lambda: not any(map(runs, pids)), 1.0), "the processes outlive their host"


def test_a_host_that_ends(tmp_path: Path) -> None:
    ended = run_python(HOST, tmp_path).expect()
    pids = [int(line) for line in ended.out.split()]
    assert len(pids) == 2 and not any(map(is_there, pids))


def test_a_close_with_a_call_in_flight() -> None:
    with Engine(str(SCRIPT), ranks=1, isolation="process", grace=0.3) as engine:
        task = engine.submit("sleep", INVITE, "60")
        assert wait_until(lambda: engine.stats()[0].calls == 1)
        pid = engine.stats()[0].pid
    assert not is_there(pid)
    assert task.result().outcome == "crashed"


# ---- control


def test_looks_and_reload(open_host: Open, tmp_path: Path) -> None:
    script = tmp_path / "changes.py"
    text = SCRIPT.read_text(encoding="utf-8")
    script.write_text(text, encoding="utf-8")
    host = open_host(script=script, allow_look=True)
    before = pid_of(host)

    def look(opened: Any, code: str) -> Any:
        return host.engine.look(1, "run", code)

    found = host.ranks[1].run(lambda opened: look(opened, "import os; result = os.getpid()"))
    assert found == before
    script.write_text(text.replace("return 1", "return 11"), encoding="utf-8")
    host.ranks[1].run(lambda opened: host.engine.reload())
    assert host.call("one").code == 11
    script.write_text("raise LookupError('broken')", encoding="utf-8")
    with pytest.raises(errors.IsoexecError, match="could not be loaded"):
        host.ranks[1].run(lambda opened: host.engine.reload())
    assert host.call("one").code == 11
    script.write_text("while True: pass", encoding="utf-8")
    with pytest.raises(errors.ScriptError, match="did not load within 300 ms"):
        host.ranks[1].run(lambda opened: host.engine.reload(timeout=0.3))
    assert host.call("one").code == 11
    assert pid_of(host) == before and host.engine.stats()[0].reloads == 1


# ---- a hostile process


@pytest.mark.parametrize("seed", range(40))
def test_a_hostile_process(open_host: Open, seed: int) -> None:
    host = open_host(functions={"ask": lambda call, text: 1}, grace=0.3, deadline=0.5)
    result = host.call("scribble", extra=str(seed))
    assert result.outcome in ("returned", "crashed", "deadline", "raised", "missing", "exit"), (
        result
    )
    assert wait_until(lambda: host.call("one").code == 1), host.log.texts()


# ---- packages that load once in a process


def test_packages_in_four_ranks(open_host: Open, tmp_path: Path) -> None:
    for name in ("numpy", "orjson", "lxml"):
        pytest.importorskip(name)
    script = tmp_path / "packages.py"
    script.write_text(
        "import numpy, orjson\nfrom lxml import etree\n"
        "class H:\n"
        "    def child_init(self, rank):\n        return 0\n"
        "    def run(self, msg):\n"
        "        tree = etree.fromstring(b'<a><b>4</b></a>')\n"
        "        return int(numpy.arange(4).sum()) + orjson.loads(b'[1]')[0] + int(tree[0].text)\n"
        "def mod_init():\n    return H()\n",
        encoding="utf-8",
    )
    host = open_host(4, script=script)
    assert [result.code for result in host.each("run")] == [11] * 4
