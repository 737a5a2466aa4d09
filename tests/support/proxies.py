"""Proxies that run as processes of their own, and peers that talk SIP to them over real sockets."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.corpus import CHECKOUT
from support.run import environment, text

LIMIT = 15.0  # seconds; no answer takes longer, so a missing one is a failure
HANDLER = CHECKOUT / "tests/handlers/proxy_basic.py"
LISTEN = ("udp:127.0.0.1:0", "tcp:127.0.0.1:0", "udp:[::1]:0", "tcp:[::1]:0")
COUNTER = re.compile(r"(?<!\S)([a-z_]+)=(\d+)(?!\S)")

type Address = tuple[str, int]


def isoproxy_path() -> Path:
    """The stand-alone proxy: ISOEXEC_ISOPROXY, else that of the C test build of this Python."""
    if named := os.environ.get("ISOEXEC_ISOPROXY"):
        return Path(named)
    version = ".".join(map(str, sys.version_info[:3]))
    path = CHECKOUT / f"build/dev-{version}/native/isoproxy"
    if not path.exists():
        pytest.skip("isoproxy is not built: make native-test")
    return path


def command(program: str) -> list[str]:
    if program == "isoproxy":
        return [str(isoproxy_path())]
    return [str(Path(sys.executable).parent / "isoexec"), "serve"]


class Proxy:
    """One proxy process; its addresses by (protocol, family)."""

    def __init__(
        self,
        program: str | list[str],
        *options: str,
        handler: Path = HANDLER,
        env: dict[str, str] | None = None,
    ) -> None:
        words = command(program) if isinstance(program, str) else program
        listen = [part for address in LISTEN for part in ("--listen", address)]
        self.process = subprocess.Popen(
            [*words, *listen, *options, str(handler)],
            env=environment({"PYTHONUNBUFFERED": "1", **(env or {})}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.ready = text(self.process.stdout.readline())
        if "listening on" not in self.ready:
            _, err = self.process.communicate(timeout=LIMIT)
            pytest.fail(f"{program} did not start: {text(err)}")
        self.addresses: dict[tuple[str, int], Address] = {}
        for word in self.ready.split("listening on")[1].split():
            protocol, _, rest = word.partition(":")
            host, _, port = rest.rpartition(":")
            family = 6 if host.startswith("[") else 4
            self.addresses[protocol, family] = (host.strip("[]"), int(port))

    def resident(self) -> int:
        """Octets of memory that the process has in use."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def counters(self) -> dict[str, int]:
        """What SIGUSR2 logs; log lines before it are lost."""
        assert self.process.stderr is not None
        self.process.send_signal(signal.SIGUSR2)
        found: dict[str, int] = {}
        while "overload" not in found:  # the last one
            line = text(self.process.stderr.readline())
            assert line, "the proxy has ended"
            found.update((name, int(value)) for name, value in COUNTER.findall(line))
        return found

    def stop(self, number: signal.Signals = signal.SIGINT, limit: float = LIMIT) -> tuple[int, str]:
        """Sends the signal and waits: (exit code, standard error)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            _, err = self.process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, err = self.process.communicate()
            pytest.fail(f"the proxy did not end: {text(err)}")
        return self.process.returncode, text(err)


@contextlib.contextmanager
def running(program: str, *options: str, **more: Any) -> Iterator[Proxy]:
    """A proxy that must end well."""
    proxy = Proxy(program, *options, **more)
    try:
        yield proxy
    finally:
        code, err = proxy.stop()
    assert code == 0, err
    assert "Traceback" not in err or "asked for" in err, err


class Message:
    """A SIP message as a test looks at it; independent of isoexec's own parser."""

    def __init__(self, raw: bytes, source: Any = None) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        self.start = lines[0]
        self.rows = [tuple(line.split(":", 1)) for line in lines[1:]]
        self.source = source

    @property
    def code(self) -> int:
        return int(self.start.split()[1]) if self.start.startswith("SIP/") else 0

    def all(self, name: str) -> list[str]:
        return [row[1].strip() for row in self.rows if row[0].lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        found = self.all(name)
        assert found, f"no {name} in {self.start} {self.rows}"
        return found[0]

    def __repr__(self) -> str:
        return f"{self.start} {self.rows}"


class Peer:
    """A user agent on one socket, UDP or TCP."""

    def __init__(self, protocol: str = "udp", family: int = 4, to: Address | None = None) -> None:
        host = "127.0.0.1" if family == 4 else "::1"
        kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
        self.protocol = protocol
        self.to = to
        self.socket = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
        self.socket.settimeout(LIMIT)
        self.socket.bind((host, 0))
        if protocol == "tcp" and to is not None:
            self.socket.connect(to)
        self.host, self.port = self.socket.getsockname()[:2]
        self.sent_by = f"[{self.host}]:{self.port}" if family == 6 else f"{self.host}:{self.port}"
        self.uri = f"sip:{self.sent_by}"
        self._input = b""
        self._number = 0

    def send(self, raw: bytes, to: Any = None) -> None:
        if self.protocol == "udp":
            self.socket.sendto(raw, to or self.to)
        else:
            self.socket.sendall(raw)

    def receive(self) -> Message:
        if self.protocol == "udp":
            raw, source = self.socket.recvfrom(65536)
            return Message(raw, source)
        while b"\r\n\r\n" not in self._input:
            data = self.socket.recv(65536)
            assert data, "the proxy closed the connection"
            self._input = (self._input + data).lstrip(b"\r\n")  # answers to keep-alives
        raw, _, self._input = self._input.partition(b"\r\n\r\n")
        message = Message(raw)
        length = int(message["Content-Length"])
        while len(self._input) < length:
            self._input += self.socket.recv(65536)
        message.body, self._input = self._input[:length], self._input[length:].lstrip(b"\r\n")
        return message

    def silent(self, seconds: float = 0.3) -> bool:
        """Whether nothing comes."""
        self.socket.settimeout(seconds)
        try:
            self.receive()
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(LIMIT)
        return False

    def request(
        self, method: str, *rows: str, uri: str = "sip:bob@127.0.0.1", branch: str = "", **more: Any
    ) -> bytes:
        """A request of this peer; each has a branch and a Call-ID of its own."""
        self._number += 1
        values = {
            "branch": branch or f"z9hG4bK{os.getpid()}.{id(self)}.{self._number}",
            "call_id": f"{self._number}@{self.port}",
            "to_tag": "",
            "hops": "70",
            "body": "",
        } | more
        self.branch = values["branch"]
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.protocol.upper()} {self.sent_by};branch={values['branch']};rport",
            f"Max-Forwards: {values['hops']}",
            "From: <sip:alice@example.com>;tag=a1",
            f"To: <sip:bob@example.org>{values['to_tag']}",
            f"Call-ID: {values['call_id']}",
            f"CSeq: 1 {method}",
            *rows,
            f"Content-Length: {len(values['body'])}",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n" + values["body"]).encode()

    def answer(self, request: Message, code: int, reason: str = "Answer", *rows: str) -> None:
        """Replies to a request that this peer received."""
        lines = [f"SIP/2.0 {code} {reason}"]
        for name, value in request.rows:
            if name.lower() in ("via", "from", "call-id", "cseq", "record-route"):
                lines.append(f"{name}:{value}")
            elif name.lower() == "to":
                lines.append(f"{name}:{value}" + ("" if code == 100 else ";tag=b1"))
        lines += [*rows, "Content-Length: 0"]
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode(), request.source)

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
