"""sipp (Debian: sip-tester) as caller and callee; tshark as the judge of what they were sent."""

import contextlib
import re
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.corpus import CHECKOUT, in_ci
from support.run import environment, run, text

SCENARIOS = CHECKOUT / "tests/sipp"
LIMIT = 60.0  # seconds
SIP_PORT = 5060
RECEIVED = re.compile(rb"\n(?:UDP|TCP) message received \[(\d+)\] bytes ?:\n\n")


def tool(name: str, package: str) -> str:
    """The path of a program; without it the test is skipped, in CI it fails."""
    found = shutil.which(name)
    reason = f"{name} is not installed: apt install {package}"
    if found is None and in_ci():
        pytest.fail(reason)
    if found is None:
        pytest.skip(reason)
    return found


class Way(NamedTuple):
    """A transport and an address family."""

    protocol: str
    family: int

    @property
    def host(self) -> str:
        return "127.0.0.1" if self.family == 4 else "[::1]"

    @property
    def kind(self) -> socket.SocketKind:
        return socket.SOCK_DGRAM if self.protocol == "udp" else socket.SOCK_STREAM

    def bind(self, port: int = 0) -> socket.socket:
        made = socket.socket(socket.AF_INET if self.family == 4 else socket.AF_INET6, self.kind)
        try:
            made.bind((self.host.strip("[]"), port))
        except OSError:
            made.close()
            raise
        return made

    def free_port(self) -> int:
        with self.bind() as probe:
            return int(probe.getsockname()[1])

    def is_bound(self, port: int) -> bool:
        try:
            self.bind(port).close()
        except OSError:
            return True
        return False


class Agent:
    """One sipp process that runs a scenario a number of times."""

    def __init__(
        self,
        scenario: str,
        way: Way,
        folder: Path,
        calls: int,
        *options: str,
        trace: bool = True,
        limit: float = LIMIT,
    ) -> None:
        self.name = scenario
        self.calls = calls
        self.limit = limit
        self.port = way.free_port()
        self.uri = f"sip:callee@{way.host}:{self.port};transport={way.protocol}"
        self._stem = folder / f"{scenario}-{self.port}"
        mode = "u1" if way.protocol == "udp" else "t1"
        words = [tool("sipp", "sip-tester"), "-sf", str(SCENARIOS / f"{scenario}.xml")]
        words += ["-i", way.host, "-p", str(self.port), "-t", mode, "-m", str(calls), "-nostdin"]
        words += ["-timeout", f"{limit:.0f}s", "-timeout_error"]
        words += ["-watchdog_interval", "0"]  # a machine that is busy is no fault
        words += ["-trace_err", "-error_file", str(self._stem.with_suffix(".errors"))]
        words += ["-trace_stat", "-stf", str(self._stem.with_suffix(".csv"))]
        if trace:
            words += ["-trace_msg", "-message_file", str(self._stem.with_suffix(".messages"))]
        self.process = subprocess.Popen(
            [*words, *options],
            cwd=folder,
            env=environment({"TERM": "dumb"}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def wait_until_bound(self, way: Way) -> None:
        end = time.monotonic() + LIMIT
        while not way.is_bound(self.port):
            assert self.process.poll() is None, self.result()
            assert time.monotonic() < end, f"{self.name} does not listen"
            time.sleep(0.01)

    def result(self) -> str:
        """Waits for the end. What sipp says went wrong, "" if nothing did."""
        try:
            _, err = self.process.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, err = self.process.communicate()
        errors = self._stem.with_suffix(".errors")
        told = text(err) + (errors.read_text(errors="replace") if errors.exists() else "")
        counts = self._stem.with_suffix(".csv")
        if not counts.exists():
            return f"{self.name}: exit {self.process.returncode}, no call\n{told}"
        names, *_, values = counts.read_text().splitlines()
        last = dict(zip(names.split(";"), values.split(";"), strict=True))
        good, bad = int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])
        if self.process.returncode == 0 and (good, bad) == (self.calls, 0) and not errors.exists():
            return ""
        return f"{self.name}: exit {self.process.returncode}, {good} good, {bad} failed\n{told}"

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def received(self) -> list[bytes]:
        """The messages that came to it, octet by octet."""
        raw = self._stem.with_suffix(".messages").read_bytes()
        return [raw[m.end() : m.end() + int(m[1])] for m in RECEIVED.finditer(raw)]


@contextlib.contextmanager
def answering(
    scenarios: list[str], way: Way, folder: Path, calls: int, *options: str, **more: Any
) -> Iterator[list[Agent]]:
    """The callees of a scenario, once they listen."""
    agents: list[Agent] = []
    try:
        for scenario in scenarios:
            agents.append(Agent(scenario, way, folder, calls, *options, **more))
            agents[-1].wait_until_bound(way)
        yield agents
    finally:
        for agent in agents:
            agent.stop()


# ---- tshark ----


def write_pcap(path: Path, messages: list[bytes]) -> None:
    """A capture of datagrams to port 5060: link type raw IP (101), no check sums."""
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 101))
        for number, message in enumerate(messages):
            udp = struct.pack(">HHHH", SIP_PORT, SIP_PORT, 8 + len(message), 0) + message
            local = bytes([127, 0, 0, 1])
            ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, 17, 0)
            packet = ip + local + local + udp
            out.write(struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet)


def what_tshark_sees(path: Path) -> list[list[str]]:
    """Of each message: protocols, method, status, what is malformed, what the experts say."""
    fields = ["frame.protocols", "sip.Method", "sip.Status-Code", "_ws.malformed", "_ws.expert"]
    words = [tool("tshark", "tshark"), "-r", str(path), "-T", "fields", "-E", "separator=/t"]
    words += [word for field in fields for word in ("-e", field)]
    lines = run(words).expect().out.splitlines()
    return [line.split("\t") for line in lines]
