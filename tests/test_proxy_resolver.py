"""Next hops by name (RFC 3263), against a DNS server of the test."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from support.corpus import CHECKOUT
from support.dns import AAAA, NAPTR, SRV, A, Server, a, aaaa, naptr, serving, srv
from support.host import LIMIT
from support.proxies import LISTEN, Peer, Proxy, command, running
from support.run import run

ROUTING = CHECKOUT / "tests/handlers/proxy_routing.py"


@pytest.fixture(scope="module")
def dns() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def proxy(dns: Server) -> Iterator[Proxy]:
    options = ("--nameserver", dns.address, "--t1", "20ms", "--resolve-timeout", "1s")
    options += ("--resolve-negative", "1s")
    with running("isoproxy", "-w", "2", *options, handler=ROUTING) as started:
        yield started


def agent(proxy: Proxy, protocol: str = "udp", family: int = 4) -> Peer:
    return Peer(protocol, family, proxy.addresses[protocol, family])


def relay(caller: Peer, target: str, callee: Peer, *rows: str, method: str = "MESSAGE") -> None:
    caller.send(caller.request(method, f"X-Target: {target}", *rows))
    if method == "INVITE":
        assert caller.receive().code == 100
    callee.answer(callee.receive(), 200)
    assert caller.receive().code == 200


@pytest.mark.parametrize("relayed", ["t_relay", "forward"])
@pytest.mark.parametrize("family", [4, 6])
def test_an_address_is_asked_for_once(proxy: Proxy, dns: Server, family: int, relayed: str) -> None:
    name, kind = f"v{family}.{relayed.replace('_', '')}.test", A if family == 4 else AAAA
    dns.add(name, a("127.0.0.1") if family == 4 else aaaa("::1"))
    with agent(proxy) as caller, Peer(family=family) as callee:
        for _ in range(3):
            relay(caller, f"sip:{name}:{callee.port}", callee, f"X-Relay: {relayed}")
    assert dns.asked[name, kind] == 1
    assert dns.asked[name, NAPTR] == dns.asked[f"_sip._udp.{name}", SRV] == 0  # a port was given


def test_r_uri_and_route_by_name(proxy: Proxy, dns: Server) -> None:
    dns.add("hop.test", a("127.0.0.1"))
    with agent(proxy) as caller, Peer() as callee:
        uri = f"sip:bob@HOP.test:{callee.port}"
        caller.send(caller.request("MESSAGE", uri=uri))
        assert callee.receive().start == f"MESSAGE {uri} SIP/2.0"
        route = f"Route: <sip:hop.test:{callee.port};lr>"
        caller.send(caller.request("MESSAGE", route, uri="sip:x@other.invalid"))
        assert callee.receive().start == "MESSAGE sip:x@other.invalid SIP/2.0"


def test_naptr_then_srv(proxy: Proxy, dns: Server) -> None:
    """The zone prefers TCP."""
    with agent(proxy) as caller, Peer("tcp") as callee:
        dns.add(
            "naptr.test",
            naptr(10, 20, "SIP+D2U", "_sip._udp.naptr.test"),
            naptr(10, 10, "SIP+D2T", "_sip._tcp.naptr.test"),
            naptr(5, 1, "SIPS+D2T", "_sips._tcp.naptr.test"),
        )
        dns.add("_sip._tcp.naptr.test", srv(1, 1, callee.port, "host.naptr.test"))
        dns.add("host.naptr.test", a("127.0.0.1"))
        callee.socket.listen()
        caller.send(caller.request("MESSAGE", "X-Target: sip:naptr.test"))
        listening = callee.socket
        callee.socket, _ = listening.accept()
        listening.close()
        there = callee.receive()
        assert there["Via"].startswith("SIP/2.0/TCP ")
        callee.answer(there, 200)
        assert caller.receive().code == 200
    assert dns.asked["_sip._udp.naptr.test", SRV] == 0


def test_srv_without_naptr_shares_by_weight(proxy: Proxy, dns: Server) -> None:
    with agent(proxy) as caller, Peer() as light, Peer() as heavy, Peer() as spare:
        service = "_sip._udp.shared.test"
        dns.add(service, srv(1, 10, light.port, "h.test"), srv(1, 90, heavy.port, "h.test"))
        dns.add(service, srv(2, 1000, spare.port, "h.test"))
        dns.add("h.test", a("127.0.0.1"))
        peers = (light, heavy, spare)
        got: dict[int, set[str]] = {peer.port: set() for peer in peers}
        for peer in peers:
            peer.socket.settimeout(0.01)
        for _ in range(60):
            caller.send(caller.request("MESSAGE", "X-Target: sip:shared.test"))
        end = time.monotonic() + LIMIT
        while sum(map(len, got.values())) < 60 and time.monotonic() < end:
            for peer in peers:
                with contextlib.suppress(TimeoutError):
                    there = peer.receive()
                    peer.answer(there, 200)
                    got[peer.port].add(there["Via"])
        assert len(got[heavy.port]) > len(got[light.port]) > 0
        assert not got[spare.port]


@pytest.mark.parametrize("how", ["503", "silent", "refused"])
@pytest.mark.parametrize("method", ["MESSAGE", "INVITE"])
def test_the_next_target_is_tried(proxy: Proxy, dns: Server, how: str, method: str) -> None:
    """RFC 3263 4.3: 503, no answer at all, no connection."""
    name, protocol = f"{how}.{method}.test".lower(), "tcp" if how == "refused" else "udp"
    with agent(proxy) as caller, Peer(protocol) as first, Peer(protocol) as second:
        dns.add(
            f"_sip._{protocol}.{name}",
            srv(1, 1, first.port, "one.test"),
            srv(2, 1, second.port, "two.test"),
        )
        for host in ("one.test", "two.test"):
            dns.records[host] = []
            dns.add(host, a("127.0.0.1"))
        if how == "refused":
            first.socket.close()
            second.socket.listen()
        target = f"sip:{name};transport={protocol}"
        caller.send(caller.request(method, f"X-Target: {target}"))
        branches = set()
        if how != "refused":
            there = first.receive()
            branches.add(there["Via"])
        if how == "503":
            first.answer(there, 503)
        if how == "refused":
            listening = second.socket
            second.socket, _ = listening.accept()
            listening.close()
        there = second.receive()
        assert there["Via"] not in branches
        assert len(there.all("Via")) == 2
        second.answer(there, 200)
        codes = [caller.receive().code]
        if method == "INVITE":
            codes.append(caller.receive().code)
        assert codes == ([100, 200] if method == "INVITE" else [200])


def test_hosts_file(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as callee:
        relay(caller, f"sip:localhost:{callee.port}", callee)


def test_no_such_name(proxy: Proxy, dns: Server) -> None:
    with agent(proxy) as caller:
        for _ in range(3):
            caller.send(caller.request("MESSAGE", "X-Target: sip:nowhere.test:5060"))
            assert caller.receive().code in (480, 500)
        assert dns.asked["nowhere.test", A] <= 2  # by the resolver, and by getaddrinfo
        dns.add("nowhere.test", a("127.0.0.1"))
        time.sleep(1.1)
        with Peer() as callee:
            dns.add("_sip._udp.nowhere.test", srv(1, 1, callee.port, "nowhere.test"))
            relay(caller, f"sip:nowhere.test:{callee.port}", callee)


def test_ttl(proxy: Proxy, dns: Server) -> None:
    dns.add("short.test", a("127.0.0.1"), ttl=1)
    with agent(proxy) as caller, Peer() as callee:
        relay(caller, f"sip:short.test:{callee.port}", callee)
        relay(caller, f"sip:short.test:{callee.port}", callee)
        assert dns.asked["short.test", A] == 1
        time.sleep(1.1)
        relay(caller, f"sip:short.test:{callee.port}", callee)
        assert dns.asked["short.test", A] == 2


def test_a_silent_server_holds_up_nobody(proxy: Proxy, dns: Server) -> None:
    dns.muted.add("muted.test")
    with agent(proxy) as caller, agent(proxy) as other:
        caller.send(caller.request("INVITE", "X-Target: sip:muted.test:5060"))
        assert caller.receive().code == 100
        for _ in range(20):
            other.send(other.request("OPTIONS", uri="tel:1"))
            assert other.receive().code == 416
        assert caller.receive().code == 408
        trying = caller.request("INVITE", "X-Target: sip:muted.test:5060")
        caller.send(trying)
        reply = caller.receive()
        while reply.code != 100:  # copies of the 408
            reply = caller.receive()
        caller.send(caller.request("CANCEL", branch=caller.branch, call_id=reply["Call-ID"]))
        codes = {caller.receive().code for _ in range(2)}
        assert codes <= {200, 487, 408}


def test_an_ack_by_name(proxy: Proxy, dns: Server) -> None:
    """An ACK can not wait; its 2xx comes again, and so does it."""
    dns.add("ack.test", a("127.0.0.1"))
    with agent(proxy) as caller, Peer() as callee:
        callee.socket.settimeout(0.2)
        for _ in range(20):
            caller.send(caller.request("ACK", f"X-Target: sip:ack.test:{callee.port}"))
            try:
                there = callee.receive()
                break
            except TimeoutError:
                continue
        assert there.start.startswith("ACK ")


def test_a_wrong_nameserver_setting() -> None:
    for text in ("dns.example.com:53", "192.0.2.1", "[::1]:53", "192.0.2.1:x"):
        words = [*command("isoproxy"), "-w", "1", "--listen", LISTEN[0], "--nameserver", text]
        ended = run([*words, str(ROUTING)])
        assert ended.code == 3
        assert "nameserver must be" in ended.err


def test_stop_while_names_are_looked_up(dns: Server) -> None:
    dns.muted.add("stuck.test")
    with running("isoproxy", "-w", "1", "--nameserver", dns.address, handler=ROUTING) as proxy:
        with agent(proxy) as caller:
            for i in range(50):
                caller.send(caller.request("MESSAGE", f"X-Target: sip:stuck.test:{5060 + i}"))
            assert caller.silent(0.1)


def test_answers_that_are_no_dns(dns: Server) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as junk:
        junk.bind(("127.0.0.1", 0))
        junk.settimeout(10)
        host, port = junk.getsockname()
        options = ("--nameserver", f"{host}:{port}", "--resolve-timeout", "500ms")
        with running("isoproxy", "-w", "1", *options, handler=ROUTING) as proxy:
            with agent(proxy) as caller:
                caller.send(caller.request("MESSAGE", "X-Target: sip:junk.test:5060"))
                question, source = junk.recvfrom(4096)
                for reply in (b"", b"\xff" * 600, question[:2] + b"\x81\x80" + b"\xc0\x0c" * 300):
                    junk.sendto(reply, source)
                assert caller.receive().code == 408
