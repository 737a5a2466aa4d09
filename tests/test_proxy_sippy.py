"""sippy, a SIP stack of others, as caller and callee through the proxy. It has no SIP over TCP."""

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
WAYS = [Way("udp", 4), Way("udp", 6)]
# By the caller's case: who is called, what the caller sees, what the callee sees.
CASES = {
    "call": ("alice", ["Ring 100", "Ring 180", "Connect 200", "end"], ["Try", "Disconnect"]),
    "busy": ("busy", ["Ring 100", "Fail 486", "end"], ["Try"]),
    "cancel": ("ring", ["Ring 100", "Ring 180", "end"], ["Try", "Disconnect"]),
    "auth": ("alice", ["Ring 100", "Ring 180", "Connect 200", "end"], ["Try", "Disconnect"]),
}


class Callee:
    def __init__(self, way: Way, folder: Path) -> None:
        self.address = f"{way.host}:{way.free_port()}"
        self.process = subprocess.Popen(
            [sys.executable, str(AGENT), "callee", self.address],
            cwd=folder,
            env=environment(),
            stdout=subprocess.PIPE,
        )
        assert self.words(1) == ["ready"]

    def words(self, count: int) -> list[str]:
        assert self.process.stdout is not None
        return [text(self.process.stdout.readline()).strip() for _ in range(count)]


@pytest.fixture(params=WAYS, ids=["ipv4", "ipv6"])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture
def callee(way: Way, tmp_path: Path) -> Iterator[Callee]:
    started = Callee(way, tmp_path)
    yield started
    started.process.kill()
    started.process.communicate()


@pytest.mark.parametrize("program", ["serve", "isoproxy"])
def test_calls(tmp_path: Path, way: Way, callee: Callee, program: str) -> None:
    with running(program, "-w", "2", handler=HANDLER) as proxy:
        _, port = proxy.addresses["udp", way.family]
        for case, (user, caller_sees, callee_sees) in CASES.items():
            caller, to = f"{way.host}:{way.free_port()}", f"{way.host}:{port}"
            words = ["caller", caller, to, case, f"sip:{user}@{callee.address}"]
            seen = run([sys.executable, str(AGENT), *words], cwd=tmp_path).expect().out.split("\n")
            assert seen == ["ready", *caller_sees, ""], case
            assert callee.words(len(callee_sees)) == callee_sees, case
