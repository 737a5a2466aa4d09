"""What peers may send: an answer or silence, and the next request works."""

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from support import corpus
from support.corpus import CHECKOUT
from support.proxies import Message, Peer, Proxy, running

ANSWER = CHECKOUT / "tests/handlers/proxy_answer.py"
ROUTING = CHECKOUT / "tests/handlers/proxy_routing.py"
SIP_PORT = 5060  # where replies go when Via names no port
# Of this process alone: another run of the tests beside it binds the same port.
OWN_HOST = f"127.{1 + os.getpid() // 250 % 250}.{os.getpid() % 250}.77"
NO_ANSWER = {
    "rfc4475_insuf.dat": "From, To or Call-ID is missing: no reply can be built",
    "mm-no-cseq.sip": "the same for CSeq",
}
NO_FRAME = {
    "rfc4475_mcl01.dat": "two Content-Lengths that differ",
    "rfc4475_inv2543.dat": "no Content-Length",
    "mm-bare-lf.sip": "no CRLF",
}


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    with running("isoproxy", "-w", "2", handler=ANSWER) as started:
        yield started


def agent(proxy: Proxy, protocol: str = "udp") -> Peer:
    return Peer(protocol, 4, proxy.addresses[protocol, 4])


def serves(proxy: Proxy) -> bool:
    with agent(proxy) as caller:
        caller.send(caller.request("OPTIONS"))
        reply = caller.receive()
        return reply.code == 404 and caller.branch in reply["Via"]


def messages() -> list[Any]:
    params = corpus.message_params()
    for path in sorted((corpus.CARRIED / "cases" / "inputs").glob("*.sip")):
        line = {"file": path.name, "path": path}
        params.append(pytest.param(line, id=path.name))
    return params


def check(line: dict[str, Any], raw: bytes, answer: bytes) -> None:
    """No reply to a reply, nor to what is no SIP; to all else one whose code says what is wrong."""
    first = raw.lstrip(b"\r\n").split(b"\r\n")[0]
    if first.upper().startswith(b"SIP/") or b" SIP/" not in first.upper():
        assert not answer
    elif answer:
        message = Message(answer)
        assert message.code in (400, 404, 420, 483, 505)
        if line.get("valid"):
            assert message.code != 400


@pytest.mark.parametrize("line", messages())
def test_by_datagram(proxy: Proxy, line: dict[str, Any] | None) -> None:
    if line is None:
        corpus.require_torture()
        return
    raw = line["path"].read_bytes()
    answer = b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((OWN_HOST, SIP_PORT))
        peer.settimeout(0.05)
        peer.sendto(raw, proxy.addresses["udp", 4])
        assert serves(proxy)
        with contextlib.suppress(TimeoutError):
            answer = peer.recv(65536)
    check(line, raw, answer)


@pytest.mark.parametrize("line", messages())
def test_by_stream(proxy: Proxy, line: dict[str, Any] | None) -> None:
    """A valid request with a length is always answered there: the connection is the way back."""
    if line is None:
        corpus.require_torture()
        return
    raw = line["path"].read_bytes()
    answer = b""
    with socket.create_connection(proxy.addresses["tcp", 4]) as peer:
        peer.settimeout(0.05)
        peer.sendall(raw)
        assert serves(proxy)
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            answer = peer.recv(65536).lstrip(b"\r\n")
    check(line, raw, answer)
    if line.get("valid") and line["type"] == "SIP_REQUEST" and line["method"] != "ACK":
        assert bool(answer) == (line["file"] not in NO_ANSWER | NO_FRAME)


def test_many_at_once(proxy: Proxy) -> None:
    """Replies of nobody's request, datagrams that are no SIP: the log says so now and then."""
    assert proxy.process.stderr is not None
    with agent(proxy) as caller:
        rows = caller.request("OPTIONS").partition(b"\r\n")[2]
        reply = b"SIP/2.0 200 OK\r\n" + rows
        wrong = caller.request("OPTIONS", hops="many")
        for i in range(1000):
            caller.send(reply)
            caller.send(b"\0" * (i % 50))
            caller.send(wrong.replace(b"many", b"m%d" % i))
            if i % 100 == 0:
                while caller.receive().code != 400:
                    pass
    assert serves(proxy)


def test_log_lines_are_bounded() -> None:
    proxy = Proxy("isoproxy", "-w", "1", handler=ROUTING)
    with agent(proxy) as caller:
        for _ in range(500):
            caller.send(caller.request("OPTIONS", hops="many"))
            assert caller.receive().code == 400
    code, err = proxy.stop()
    assert code == 0
    assert 0 < err.count("a message is refused") < 100


def test_peers_that_are_slow(proxy: Proxy) -> None:
    """Half messages that stay, and peers that never read: others are served."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(agent(proxy, "tcp")) for _ in range(50)]
        for peer in peers[:25]:
            raw = peer.request("OPTIONS")
            peer.send(raw[: len(raw) // 2])
        for peer in peers[25:]:
            peer.socket.setblocking(False)
            raw = peer.request("OPTIONS") * 200
            with contextlib.suppress(BlockingIOError, ConnectionError):
                for _ in range(100):
                    peer.socket.send(raw)
        assert serves(proxy)
        with agent(proxy, "tcp") as caller:
            caller.send(caller.request("OPTIONS"))
            assert caller.receive().code == 404


def test_octets_without_end_are_no_traffic() -> None:
    """A peer that sends one octet now and then is closed; one that sends messages is not."""
    with running("isoproxy", "-w", "1", "--tcp-idle", "400ms", handler=ANSWER) as proxy:
        with agent(proxy, "tcp") as slow, agent(proxy, "tcp") as good:
            raw = iter(slow.request("OPTIONS"))
            closed = False
            for _ in range(30):
                with contextlib.suppress(ConnectionError):
                    slow.send(bytes([next(raw)]))
                good.send(good.request("OPTIONS"))
                assert good.receive().code == 404
                slow.socket.settimeout(0.1)
                try:
                    closed = slow.socket.recv(10) == b""
                except TimeoutError:
                    continue
                except ConnectionError:
                    closed = True
                break
            assert closed


def test_the_table_is_bounded() -> None:
    with running("isoproxy", "-w", "1", "--transactions", "50", handler=ROUTING) as proxy:
        with agent(proxy) as caller, Peer() as callee:
            codes = []
            for _ in range(80):
                caller.send(caller.request("INVITE", f"X-Target: {callee.uri}"))
                reply = caller.receive()
                codes.append(reply.code)
            assert codes.count(100) == 50
            assert set(codes[50:]) <= {480, 503}
            callee.answer(callee.receive(), 200)
            while caller.receive().code != 200:
                pass


@pytest.mark.parametrize("mode", ["t_relay", "the default"])
def test_overload_says_when(mode: str) -> None:
    """Whoever asked for the transaction, and whatever the handler does when there is none."""
    with running("isoproxy", "-w", "1", "--transactions", "1") as proxy:
        with agent(proxy) as caller, Peer() as callee:
            rows = [f"X-Target: {callee.uri}", *(["X-Mode: failover"] if mode == "t_relay" else [])]
            caller.send(caller.request("INVITE", *rows))
            assert caller.receive().code == 100
            caller.send(caller.request("INVITE", *rows))
            reply = caller.receive()
            assert reply.code == 503
            assert int(reply["Retry-After"]) > 0
