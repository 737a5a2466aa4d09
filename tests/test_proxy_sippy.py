"""sippy, a SIP stack of others, as caller and callee through the proxy."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.corpus import CHECKOUT
from support.proxies import running
from support.run import environment, run, text
from support.sipp import Way

AGENT = CHECKOUT / "tests/peers/sippy_agent.py"
HANDLER = CHECKOUT / "tests/handlers/proxy_sipp.py"
UDP = Way("udp", 4)
# By the caller's case: who is called, what the caller sees, what the callee sees.
CASES = {
    "call": ("alice", ["Ring 100", "Ring 180", "Connect 200", "end"], ["Try", "Disconnect"]),
    "busy": ("busy", ["Ring 100", "Fail 486", "end"], ["Try"]),
    "cancel": ("ring", ["Ring 100", "Ring 180", "end"], ["Try", "Disconnect"]),
    "auth": ("alice", ["Ring 100", "Ring 180", "Connect 200", "end"], ["Try", "Disconnect"]),
}


class Callee:
    def __init__(self, folder: Path) -> None:
        self.port = UDP.free_port()
        self.process = subprocess.Popen(
            [sys.executable, str(AGENT), "callee", str(self.port)],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
        )
        assert self.words(1) == ["ready"]

    def words(self, count: int) -> list[str]:
        assert self.process.stdout is not None
        return [text(self.process.stdout.readline()).strip() for _ in range(count)]


@pytest.fixture
def callee(tmp_path: Path) -> Iterator[Callee]:
    started = Callee(tmp_path)
    yield started
    started.process.kill()
    started.process.communicate()


@pytest.mark.parametrize("program", ["serve", "isoproxy"])
def test_calls(tmp_path: Path, callee: Callee, program: str) -> None:
    with running(program, "-w", "2", handler=HANDLER) as proxy:
        host, port = proxy.addresses["udp", 4]
        for case, (user, caller_sees, callee_sees) in CASES.items():
            target = f"sip:{user}@{UDP.host}:{callee.port}"
            words = ["caller", str(UDP.free_port()), f"{host}:{port}", case, target]
            seen = run([sys.executable, str(AGENT), *words], cwd=tmp_path).expect().out.split("\n")
            assert seen == ["ready", *caller_sees, ""], case
            assert callee.words(len(callee_sees)) == callee_sees, case
