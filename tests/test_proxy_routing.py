"""RFC 3261 16 over real sockets: routes, loops, forks, and what arrives at another worker."""

from collections.abc import Iterator

import pytest

from support.corpus import CHECKOUT
from support.proxies import Message, Peer, Proxy, running

ROUTING = CHECKOUT / "tests/handlers/proxy_routing.py"
T1 = 0.1


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    options = ("--t1", f"{T1}s", "--t4", "200ms", "--timer-c", "700ms")
    with running("isoproxy", "-w", "4", *options, handler=ROUTING) as started:
        yield started


def agent(proxy: Proxy, protocol: str = "udp", family: int = 4) -> Peer:
    return Peer(protocol, family, proxy.addresses[protocol, family])


def own_uri(proxy: Proxy, protocol: str = "udp", more: str = "") -> str:
    host, port = proxy.addresses[protocol, 4]
    return f"sip:{host}:{port}{';transport=tcp' if protocol == 'tcp' else ''}{more}"


def accept(callee: Peer) -> Peer:
    """A TCP peer that listened; from here on it talks on the connection that came."""
    listening = callee.socket
    listening.settimeout(10)
    callee.socket, _ = listening.accept()
    listening.close()
    callee.socket.settimeout(10)
    return callee


# ---- routes ----


def test_loose_routes(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as callee, Peer() as after:
        routes = [f"<{own_uri(proxy)};lr>", f"<{callee.uri};lr>", f"<{after.uri};lr>"]
        for rows in ([f"Route: {', '.join(routes)}"], [f"Route: {each}" for each in routes]):
            caller.send(caller.request("MESSAGE", *rows, uri="sip:bob@host.invalid"))
            there = callee.receive()
            assert there.start == "MESSAGE sip:bob@host.invalid SIP/2.0"
            assert ", ".join(there.all("Route")) == ", ".join(routes[1:])
            callee.answer(there, 200)
            assert caller.receive().code == 200


def test_the_next_hop_is_a_strict_router(proxy: Proxy) -> None:
    """RFC 3261 16.6 step 6: the R-URI goes to the end of the routes."""
    with agent(proxy) as caller, Peer() as callee:
        rows = [f"Route: <{own_uri(proxy)};lr>, <{callee.uri}>, <sip:third.invalid>"]
        caller.send(caller.request("MESSAGE", *rows, uri="sip:bob@host.invalid", body="text"))
        there = callee.receive()
        assert there.start == f"MESSAGE {callee.uri} SIP/2.0"
        assert there.all("Route") == ["<sip:third.invalid>", "<sip:bob@host.invalid>"]
        assert there.body == b"text"


def test_a_strict_router_came_before(proxy: Proxy) -> None:
    """RFC 3261 16.4: our Record-Route stands in the R-URI, the real one at the end."""
    with agent(proxy) as caller, Peer() as callee:
        caller.send(caller.request("MESSAGE", f"Route: <{callee.uri}>", uri=own_uri(proxy) + ";lr"))
        there = callee.receive()
        assert there.start == f"MESSAGE {callee.uri} SIP/2.0"
        assert not there.all("Route")


@pytest.mark.parametrize(("one", "other"), [("udp", "tcp"), ("tcp", "udp"), ("udp", "udp")])
def test_a_dialog_over_two_protocols(proxy: Proxy, one: str, other: str) -> None:
    """Both sides go by the routes that they were given, each over its own protocol."""
    with agent(proxy, one) as caller, Peer(other) as callee:
        target = callee.uri + (";transport=tcp" if other == "tcp" else "")
        if other == "tcp":
            callee.socket.listen()
        caller.send(caller.request("MESSAGE", f"X-Target: {target}", "X-Record: yes"))
        if other == "tcp":
            accept(callee)
        there = callee.receive()
        routes = there.all("Record-Route")
        assert len(routes) == (1 if one == other else 2)
        callee.answer(there, 200)
        assert caller.receive().all("Record-Route") == routes
        ask = [f"Route: {', '.join(reversed(routes))}"]
        caller.send(caller.request("INFO", *ask, uri=target, to_tag=";tag=b1"))
        there = callee.receive()
        assert not there.all("Route")
        callee.answer(there, 200)
        assert caller.receive().code == 200
        back = caller.uri + (";transport=tcp" if one == "tcp" else "")
        callee.to = proxy.addresses[other, 4]
        rows = [f"Route: {', '.join(routes)}"]
        callee.send(callee.request("INFO", *rows, uri=back, to_tag=";tag=c"))
        there = caller.receive()
        assert not there.all("Route")
        caller.answer(there, 200)
        assert callee.receive().code == 200


def test_loop_and_spiral(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as callee:
        caller.send(caller.request("MESSAGE", uri=own_uri(proxy)))
        assert caller.receive().code == 482
        # The same proxy twice with another R-URI, or another Route, is no loop.
        rows = [f"Route: <{own_uri(proxy)};lr>, <{own_uri(proxy)};lr>, <{callee.uri};lr>"]
        caller.send(caller.request("MESSAGE", *rows))
        there = callee.receive()
        assert len(there.all("Via")) == 3
        callee.answer(there, 200)
        assert caller.receive().code == 200


@pytest.mark.parametrize("uri", ["tel:+123", "sips:bob@127.0.0.1", "nobodyKnows:this"])
def test_other_schemes(proxy: Proxy, uri: str) -> None:
    with agent(proxy) as caller:
        caller.send(caller.request("OPTIONS", uri=uri))
        assert caller.receive().code == 416


# ---- forks ----


def fork(method: str, caller: Peer, *callees: Peer, rows: tuple[str, ...] = ()) -> Message:
    """Sends a request to one or two callees; of an INVITE, takes the 100."""
    names = ("X-Target", "X-Second")[: len(callees)]
    targets = [f"{name}: {each.uri}" for name, each in zip(names, callees, strict=True)]
    caller.send(caller.request(method, *targets, *rows))
    return caller.receive() if method == "INVITE" else Message(b"")


@pytest.mark.parametrize(
    ("codes", "best"),
    [
        ((404, 302), 302),
        ((486, 404), 486),
        ((404, 407), 407),
        ((500, 480), 480),
        ((302, 603), 603),
        ((503, 503), 500),
    ],
)
def test_the_best_reply(proxy: Proxy, codes: tuple[int, int], best: int) -> None:
    with agent(proxy) as caller, Peer() as first, Peer() as second:
        fork("MESSAGE", caller, first, second)
        first.answer(first.receive(), codes[0])
        second.answer(second.receive(), codes[1])
        assert caller.receive().code == best


def test_challenges_of_all_branches(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as first, Peer() as second:
        fork("MESSAGE", caller, first, second)
        first.answer(first.receive(), 401, "Who", 'WWW-Authenticate: Digest realm="one"')
        second.answer(second.receive(), 407, "Who", 'Proxy-Authenticate: Digest realm="two"')
        reply = caller.receive()
        assert reply["WWW-Authenticate"] == 'Digest realm="one"'
        assert reply["Proxy-Authenticate"] == 'Digest realm="two"'


def test_each_2xx_goes_to_the_caller(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as first, Peer() as second:
        fork("INVITE", caller, first, second)
        one, two = first.receive(), second.receive()
        second.answer(two, 180)
        assert caller.receive().code == 180
        first.answer(one, 200)
        assert caller.receive().code == 200
        cancel = second.receive()
        assert cancel.start.startswith("CANCEL ")
        second.answer(two, 200)  # it had been picked up: the caller hears of it and ends it
        assert caller.receive().code == 200
        ack = caller.request(
            "ACK", f"Route: <{own_uri(proxy)};lr>", uri=first.uri, to_tag=";tag=b1"
        )
        caller.send(ack)
        assert first.receive().start.startswith("ACK ")


def test_a_6xx_cancels_the_others(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as first, Peer() as second:
        fork("INVITE", caller, first, second)
        one, two = first.receive(), second.receive()
        second.answer(two, 180)
        assert caller.receive().code == 180
        first.answer(one, 603)
        assert first.receive().start.startswith("ACK ")
        assert second.receive().start.startswith("CANCEL ")
        second.answer(two, 487)
        assert second.receive().start.startswith("ACK ")
        assert caller.receive().code == 603


def test_timer_c(proxy: Proxy) -> None:
    """It rings too long; each reply above 100 gives more time."""
    with agent(proxy) as caller, Peer() as callee:
        fork("INVITE", caller, callee)
        there = callee.receive()
        for _ in range(3):
            callee.answer(there, 180)
            assert caller.receive().code == 180
            assert callee.silent(0.4)
        assert callee.receive().start.startswith("CANCEL ")
        callee.answer(there, 487)
        assert caller.receive().code == 487


def test_late_and_strange_replies(proxy: Proxy) -> None:
    """After the final reply nothing more reaches the caller, and nothing reaches another call."""
    with agent(proxy) as caller, Peer() as callee:
        fork("MESSAGE", caller, callee)
        there = callee.receive()
        callee.answer(there, 200)
        assert caller.receive().code == 200
        for code in (200, 404, 183):
            callee.answer(there, code)
        caller.send(caller.request("MESSAGE", f"X-Target: {callee.uri}"))
        second = callee.receive()
        other = there["Via"].split("branch=")[1]
        branch = second["Via"].split("branch=")[1]
        for wrong in (branch[:-1] + "x", branch[:-8] + "00000000", other[:-8] + branch[-8:], "z9"):
            second.rows[0] = ("Via", second["Via"].replace(branch, wrong))
            callee.answer(second, 200)
            second.rows[0] = ("Via", second["Via"].replace(wrong, branch))
        assert caller.silent()
        callee.answer(second, 202)
        assert caller.receive().code == 202


def test_retransmissions(proxy: Proxy) -> None:
    """A copy of a request is answered from what is kept, and never relayed again."""
    with agent(proxy) as caller, Peer() as callee:
        request = caller.request("MESSAGE", f"X-Target: {callee.uri}")
        caller.send(request)
        there = callee.receive()
        caller.send(request)  # before the reply: nothing to say yet
        callee.answer(there, 202)
        first = caller.receive()
        for _ in range(3):
            caller.send(request)
            again = caller.receive()
            assert (again.start, again.rows) == (first.start, first.rows)
        assert callee.silent()


# ---- other workers ----


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_cancel_by_another_way(proxy: Proxy, protocol: str) -> None:
    for _ in range(6):
        with agent(proxy, protocol) as caller, agent(proxy, protocol) as other, Peer() as callee:
            trying = fork("INVITE", caller, callee)
            there = callee.receive()
            callee.answer(there, 180)
            assert caller.receive().code == 180
            other.send(caller.request("CANCEL", branch=caller.branch, call_id=trying["Call-ID"]))
            assert other.receive().code == 200
            assert callee.receive().start.startswith("CANCEL ")
            callee.answer(there, 487)
            assert callee.receive().start.startswith("ACK ")
            assert caller.receive().code == 487


def test_ack_by_another_way(proxy: Proxy) -> None:
    for _ in range(6):
        with agent(proxy) as caller, agent(proxy) as other, Peer() as callee:
            fork("INVITE", caller, callee)
            callee.answer(callee.receive(), 486)
            assert callee.receive().start.startswith("ACK ")
            reply = caller.receive()
            assert reply.code == 486
            more = {"branch": caller.branch, "call_id": reply["Call-ID"], "to_tag": ";tag=b1"}
            other.send(caller.request("ACK", **more))
            assert caller.silent(5 * T1)  # timer G has ended
            assert callee.silent(0.05)


def test_a_copy_of_an_invite_by_another_way(proxy: Proxy) -> None:
    for _ in range(6):
        with agent(proxy) as caller, agent(proxy) as other, Peer() as callee:
            invite = caller.request("INVITE", f"X-Target: {callee.uri}")
            caller.send(invite)
            assert caller.receive().code == 100
            there = callee.receive()
            other.send(invite)
            assert caller.receive().code == 100
            callee.answer(there, 200)
            assert caller.receive().code == 200
            assert callee.silent(0.05)


def test_to_a_connection_of_another_worker(proxy: Proxy) -> None:
    """A peer that only connects is reached by the connection that it made."""
    for _ in range(6):
        with agent(proxy) as caller, agent(proxy, "tcp") as callee:
            callee.send(callee.request("OPTIONS", uri="tel:1"))
            assert callee.receive().code == 416
            caller.send(caller.request("MESSAGE", f"X-Target: {callee.uri};transport=tcp"))
            there = callee.receive()
            callee.answer(there, 200)
            assert caller.receive().code == 200


def test_replies_reach_the_connection_of_their_request(proxy: Proxy) -> None:
    """Both by a transaction and without one, whichever worker the reply comes to."""
    for relay in ("forward", "t_relay"):
        for _ in range(4):
            with agent(proxy, "tcp") as caller, Peer() as callee:
                fork("MESSAGE", caller, callee, rows=(f"X-Relay: {relay}",))
                callee.answer(callee.receive(), 200)
                assert caller.receive().code == 200


# ---- long requests ----


def test_a_long_request_goes_by_tcp(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer("tcp") as callee:
        callee.socket.listen()
        caller.send(caller.request("MESSAGE", f"X-Target: {callee.uri}", body="x" * 2000))
        accept(callee)
        there = callee.receive()
        assert there["Via"].startswith("SIP/2.0/TCP ")
        assert len(there.body) == 2000
        callee.answer(there, 200)
        assert caller.receive().code == 200


@pytest.mark.parametrize("parameter", ["", ";transport=udp"])
def test_a_long_request_to_a_peer_without_tcp(proxy: Proxy, parameter: str) -> None:
    with agent(proxy) as caller, Peer() as callee:
        target = callee.uri + parameter
        rows = [f"X-Target: {target}", "X-Record: yes"]
        caller.send(caller.request("MESSAGE", *rows, body="x" * 2000))
        there = callee.receive()
        assert there["Via"].startswith("SIP/2.0/UDP ")
        assert len(there.all("Via")) == 2
        assert len(there.all("Record-Route")) == 1
        callee.answer(there, 200)
        assert caller.receive().code == 200


def test_a_tcp_peer_that_refuses(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer("tcp") as gone:
        caller.send(caller.request("MESSAGE", f"X-Target: {gone.uri};transport=tcp"))
        assert caller.receive().code == 500


# ---- CANCEL ----


def test_cancel_races(proxy: Proxy) -> None:
    """A CANCEL of nothing, one before any reply, and one that meets a 200."""
    with agent(proxy) as caller, Peer() as callee:
        caller.send(caller.request("CANCEL", f"X-Target: {callee.uri}"))
        assert callee.receive().start.startswith("CANCEL ")  # RFC 3261 16.10: goes on
        trying = fork("INVITE", caller, callee)
        there = callee.receive()
        caller.send(caller.request("CANCEL", branch=caller.branch, call_id=trying["Call-ID"]))
        assert caller.receive().code == 200
        callee.answer(there, 200)
        reply = caller.receive()
        assert reply.code == 200
        assert reply["CSeq"] == "1 INVITE"


def test_ack_of_nothing(proxy: Proxy) -> None:
    with agent(proxy) as caller:
        caller.send(caller.request("ACK", uri="tel:1"))
        caller.send(caller.request("ACK", uri="sip:bob@name.invalid"))
        assert caller.silent()


# ---- targets that are not there ----


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("method", ["INVITE", "MESSAGE"])
def test_a_port_where_nobody_listens(proxy: Proxy, method: str, family: int) -> None:
    """The network says so, and the branch ends long before its timer (64 * T1 = 6.4 s) does."""
    with Peer(family=family) as gone:
        target = gone.uri
    with agent(proxy) as caller:
        caller.socket.settimeout(32 * T1)
        for _ in range(8):  # by several workers
            caller.send(caller.request(method, f"X-Target: {target}"))
            while (code := caller.receive().code) == 100:
                pass
            assert code == 500  # RFC 3261 16.7 step 6: 503 of a branch is no 503 of the proxy


def test_a_port_where_nobody_listens_has_a_failure_route(proxy: Proxy) -> None:
    with Peer() as gone:
        target = gone.uri
    with agent(proxy) as caller, Peer() as callee:
        caller.socket.settimeout(32 * T1)
        rows = [f"X-Target: {target}", "X-Failure: again", f"X-Again: {callee.uri}"]
        for _ in range(8):
            caller.send(caller.request("MESSAGE", *rows))
            callee.answer(callee.receive(), 200)
            assert caller.receive().code == 200


def test_what_is_sent_after_an_error_arrives(proxy: Proxy) -> None:
    """A socket gives an error to the next system call, whose datagram must not be lost for it."""
    with Peer() as gone:
        target = gone.uri
    with agent(proxy) as caller, Peer() as callee:
        for _ in range(50):
            caller.send(caller.request("OPTIONS", "X-Relay: forward", f"X-Target: {target}"))
            caller.send(caller.request("OPTIONS", "X-Relay: forward", f"X-Target: {callee.uri}"))
            callee.answer(callee.receive(), 200)
            assert caller.receive().code == 200


@pytest.mark.parametrize("relay", ["forward", "t_relay"])
def test_a_long_request_goes_by_stream(proxy: Proxy, relay: str) -> None:
    """RFC 3261 18.1.1, for requests with and without a transaction."""
    with agent(proxy) as caller, Peer("tcp") as callee:
        callee.socket.listen()
        rows = [f"X-Relay: {relay}", f"X-Target: {callee.uri}"]
        caller.send(caller.request("MESSAGE", *rows, body="x" * 1300))
        accept(callee)
        there = callee.receive()
        assert there["Via"].startswith("SIP/2.0/TCP ")
        assert len(there.body) == 1300
        callee.answer(there, 200)
        assert caller.receive().code == 200


def test_a_long_request_that_says_udp_goes_by_datagram(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as callee:
        rows = ["X-Relay: forward", f"X-Target: {callee.uri};transport=udp"]
        caller.send(caller.request("MESSAGE", *rows, body="x" * 1300))
        callee.answer(callee.receive(), 200)
        assert caller.receive().code == 200


# ---- versions ----


@pytest.mark.parametrize("version", ["SIP/7.0", "SIP/1.0", "SIP/2.1"])
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_another_version_is_refused(proxy: Proxy, protocol: str, version: str) -> None:
    """RFC 4475 3.1.2.16, also if Via has it. A reply and an ACK of another version get nothing."""
    with agent(proxy, protocol) as caller:
        raw = caller.request("OPTIONS").replace(b"SIP/2.0", version.encode())
        caller.send(raw)
        reply = caller.receive()
        assert reply.code == 505
        assert caller.branch in reply["Via"]
        caller.send(caller.request("ACK").replace(b"SIP/2.0", version.encode()))
        caller.send(f"{version} 200 OK\r\n".encode() + raw.partition(b"\r\n")[2])
        assert caller.silent()


def test_a_version_in_small_letters_is_the_same(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as callee:
        raw = caller.request("OPTIONS", f"X-Target: {callee.uri}")
        caller.send(raw.replace(b" SIP/2.0\r\n", b" sip/2.0\r\n", 1))
        callee.answer(callee.receive(), 200)
        assert caller.receive().code == 200
