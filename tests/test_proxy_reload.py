"""SIGHUP: the proxy takes new code of its handler under traffic, or goes on with the old."""

import signal
import threading
import time
from pathlib import Path

import pytest

from support.proxies import LIMIT, Peer, Proxy, running

PROGRAMS = ["serve", "isoproxy"]
SCRIPT = """
import time

class Handler:
    def child_init(self, rank):
        return {child_init}

    def route(self, msg):
        if msg.getHeader("X-Mode") == "stuck":
            time.sleep(1000)
        msg.call_function("sl_send_reply", "{code}", "Answer")
        return 0

def mod_init():
    return Handler()
"""


def write(script: Path, code: int, child_init: str = "0") -> None:
    script.write_text(SCRIPT.format(code=code, child_init=child_init))


def ask(proxy: Proxy) -> int:
    with Peer(to=proxy.addresses["udp", 4]) as caller:
        caller.send(caller.request("OPTIONS"))
        return caller.receive().code


class Traffic(threading.Thread):
    """Asks all the time, each time from another port, so that every worker has its share."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__()
        self._proxy = proxy
        self._ends = threading.Event()
        self.codes: list[int] = []
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            while not self._ends.is_set():
                self.codes.append(ask(self._proxy))
        except BaseException as error:
            self.fault = error

    def __enter__(self) -> "Traffic":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self.join()
        if self.fault is not None:
            raise self.fault


def wait_for_line(proxy: Proxy, words: str) -> list[str]:
    """Standard error up to the line that holds the words."""
    assert proxy.process.stderr is not None
    lines = []
    while words not in (lines[-1] if lines else ""):
        line = proxy.process.stderr.readline().decode()
        assert line, f"the proxy ended without {words!r}: {lines}"
        lines.append(line)
    return lines


@pytest.mark.parametrize("program", PROGRAMS)
def test_hup_takes_new_code_under_traffic(tmp_path: Path, program: str) -> None:
    script = tmp_path / "handler.py"
    write(script, 404)
    with running(program, "-w", "2", handler=script) as proxy, Traffic(proxy) as traffic:
        while not traffic.codes:
            time.sleep(0.01)
        for code in (480, 486):
            write(script, code)
            proxy.process.send_signal(signal.SIGHUP)
            wait_for_line(proxy, "reloaded on signal")
            assert {ask(proxy) for _ in range(20)} == {code}  # both workers
    assert set(traffic.codes) <= {404, 480, 486}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "broken", ["def mod_init(:\n", "import missing_module_of_ours\n", None], ids=str
)
def test_a_broken_edit_keeps_the_old_code(tmp_path: Path, program: str, broken: str | None) -> None:
    script = tmp_path / "handler.py"
    write(script, 404)
    proxy = Proxy(program, "-w", "2", handler=script)
    if broken is None:
        write(script, 480, child_init="1 / 0")
    else:
        script.write_text(broken)
    with Traffic(proxy) as traffic:
        proxy.process.send_signal(signal.SIGHUP)
        lines = wait_for_line(proxy, "reload on signal")
        assert {ask(proxy) for _ in range(20)} == {404}
    assert set(traffic.codes) == {404}
    write(script, 486)  # and a good one is taken afterwards
    proxy.process.send_signal(signal.SIGHUP)
    wait_for_line(proxy, "reloaded on signal")
    assert {ask(proxy) for _ in range(20)} == {486}
    code, err = proxy.stop()
    assert code == 0, err
    told = "".join(lines)
    assert told.count("the old code goes on") == 1, told
    assert told.count("reload on signal") == 1, told
    assert told.count("Error") == 1, told  # one traceback, or the place of one syntax error
    assert "Error" not in err, err


@pytest.mark.parametrize("program", PROGRAMS)
def test_hup_with_another_signal_set_is_no_end(tmp_path: Path, program: str) -> None:
    script = tmp_path / "handler.py"
    write(script, 404)
    with running(program, "-w", "1", "--reload-signal", "usr1", handler=script) as proxy:
        write(script, 480)
        proxy.process.send_signal(signal.SIGHUP)
        assert ask(proxy) == 404
        proxy.process.send_signal(signal.SIGUSR1)
        wait_for_line(proxy, "reloaded on signal")
        assert ask(proxy) == 480


@pytest.mark.parametrize("program", PROGRAMS)
def test_term_during_a_reload_that_waits(tmp_path: Path, program: str) -> None:
    """A rank that is stuck holds the reload up, not the end of the proxy."""
    script = tmp_path / "handler.py"
    write(script, 404)
    proxy = Proxy(program, "-w", "1", "--graceful-timeout", "0.2", handler=script)
    with Peer(to=proxy.addresses["udp", 4]) as caller:
        caller.send(caller.request("OPTIONS", "X-Mode: stuck"))
        assert caller.silent()
        proxy.process.send_signal(signal.SIGHUP)
        assert caller.silent()
    code, err = proxy.stop(signal.SIGTERM, limit=LIMIT)
    assert code == 1
    assert "stuck" in err
