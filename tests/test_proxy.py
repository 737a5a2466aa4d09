"""The proxy over real sockets: `isoexec serve` and `isoproxy`, UDP and TCP, IPv4 and IPv6."""

import select
import signal
from collections.abc import Iterator

import pytest

from support.proxies import HANDLER, LIMIT, LISTEN, Peer, Proxy, command, running
from support.run import run, text

PROGRAMS = ["serve", "isoproxy"]
WAYS = [("udp", 4), ("tcp", 4), ("udp", 6), ("tcp", 6)]


@pytest.fixture(scope="module", params=PROGRAMS)
def proxy(request: pytest.FixtureRequest) -> Iterator[Proxy]:
    with running(request.param, "-w", "2") as started:
        yield started


def agent(proxy: Proxy, protocol: str = "udp", family: int = 4) -> Peer:
    return Peer(protocol, family, proxy.addresses[protocol, family])


@pytest.mark.parametrize(("protocol", "family"), WAYS)
def test_reply(proxy: Proxy, protocol: str, family: int) -> None:
    with agent(proxy, protocol, family) as caller:
        caller.send(caller.request("OPTIONS", "X-Mode: reply"))
        reply = caller.receive()
        assert reply.start == "SIP/2.0 404 Nobody Here"
        assert reply["X-Rank"] in ("1", "2")
        assert f"rport={caller.port}" in reply["Via"]
        assert caller.branch in reply["Via"]
        assert ";tag=" in reply["To"]


@pytest.mark.parametrize("family", [4, 6])
def test_octet_by_octet_and_many_at_once(proxy: Proxy, family: int) -> None:
    with agent(proxy, "tcp", family) as caller:
        for octet in caller.request("OPTIONS", "X-Mode: reply", body="hello"):
            caller.send(bytes([octet]))
        assert caller.receive().code == 404
        count = 50
        caller.send(
            b"\r\n\r\n".join(caller.request("OPTIONS", "X-Mode: reply") for _ in range(count))
        )
        assert [caller.receive().code for _ in range(count)] == [404] * count


@pytest.mark.parametrize("mode", ["forward", "", "record"])
@pytest.mark.parametrize(("protocol", "family"), WAYS)
def test_relay(proxy: Proxy, protocol: str, family: int, mode: str) -> None:
    """Caller by any transport, callee by UDP: stateless, stateful by default, with Record-Route."""
    with agent(proxy, protocol, family) as caller, Peer() as callee:
        caller.send(
            caller.request("MESSAGE", f"X-Mode: {mode}", f"X-Target: {callee.uri}", body="text")
        )
        there = callee.receive()
        assert there.body == b"text"
        assert there["Max-Forwards"] == "69"
        vias = there.all("Via")
        assert len(vias) == 2
        assert "z9hG4bK" in vias[0]
        assert caller.branch in vias[1]
        assert there.all("X-Seen") == (["yes"] if mode == "forward" else [])
        # One for each side, if they are reached by two listeners (RFC 5658).
        sides = 1 if (protocol, family) == ("udp", 4) else 2
        assert len(there.all("Record-Route")) == (sides if mode == "record" else 0)
        if mode == "record":
            assert there.start == "MESSAGE sip:carol@127.0.0.1:5999 SIP/2.0"
        callee.answer(there, 202, "Taken")
        reply = caller.receive()
        assert reply.start == "SIP/2.0 202 Taken"
        assert len(reply.all("Via")) == 1
        assert caller.branch in reply["Via"]


def test_relay_to_tcp(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer("tcp") as callee:
        callee.socket.listen()
        target = f"{callee.uri};transport=tcp"
        caller.send(caller.request("MESSAGE", f"X-Target: {target}"))
        listening = callee.socket
        callee.socket, _ = listening.accept()
        with listening:
            callee.socket.settimeout(10)
            there = callee.receive()
            assert there["Via"].startswith("SIP/2.0/TCP ")
            callee.answer(there, 200)
            assert caller.receive().code == 200
            caller.send(caller.request("MESSAGE", f"X-Target: {target}"))
            callee.answer(callee.receive(), 200)  # by the same connection
            assert caller.receive().code == 200


def test_invite(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as callee:
        invite = caller.request("INVITE", f"X-Target: {callee.uri}")
        caller.send(invite)
        assert caller.receive().code == 100
        there = callee.receive()
        callee.answer(there, 180)
        assert caller.receive().code == 180
        caller.send(invite)  # a retransmission: answered, not relayed again
        assert caller.receive().code == 180
        callee.answer(there, 200)
        assert caller.receive().code == 200
        callee.answer(there, 200)  # each copy of a 2xx goes from end to end
        assert caller.receive().code == 200
        assert callee.silent()


def test_invite_refused(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as callee:
        caller.send(caller.request("INVITE", f"X-Target: {callee.uri}"))
        assert caller.receive().code == 100
        there = callee.receive()
        callee.answer(there, 486, "Busy Here")
        ack = callee.receive()
        assert ack.start.startswith("ACK ")
        assert ack["Via"] == there["Via"]
        reply = caller.receive()
        assert reply.code == 486
        assert caller.receive().code == 486  # timer G, until the ACK
        caller.send(
            caller.request("ACK", branch=caller.branch, call_id=reply["Call-ID"], to_tag=";tag=b1")
        )
        assert callee.silent()  # the ACK of a refusal stays here


def test_cancel(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as callee:
        caller.send(caller.request("INVITE", f"X-Target: {callee.uri}"))
        trying = caller.receive()
        there = callee.receive()
        callee.answer(there, 180)
        assert caller.receive().code == 180
        caller.send(caller.request("CANCEL", branch=caller.branch, call_id=trying["Call-ID"]))
        assert caller.receive()["CSeq"] == "1 CANCEL"
        cancel = callee.receive()
        assert cancel.start.startswith("CANCEL ")
        assert cancel["Via"] == there["Via"]
        callee.answer(cancel, 200)
        callee.answer(there, 487)
        assert callee.receive().start.startswith("ACK ")
        assert caller.receive().code == 487


def test_failover(proxy: Proxy) -> None:
    with agent(proxy) as caller, Peer() as first, Peer() as second:
        caller.send(
            caller.request(
                "INVITE", "X-Mode: failover", f"X-Target: {first.uri}", f"X-Second: {second.uri}"
            )
        )
        assert caller.receive().code == 100
        first.answer(first.receive(), 503)
        assert first.receive().start.startswith("ACK ")
        second.answer(second.receive(), 200)
        assert caller.receive().code == 200


@pytest.mark.parametrize(
    ("rows", "more", "code"),
    [
        (["X-Mode: raise"], {}, 500),
        (["X-Mode: refuse"], {}, 500),
        (["X-Mode: newtran"], {}, 403),
        ([], {"hops": "0"}, 483),
        (["Proxy-Require: teleport"], {}, 420),
        ([], {"uri": "tel:+123"}, 416),
        ([], {"hops": "many"}, 400),
    ],
)
def test_refusals(proxy: Proxy, rows: list[str], more: dict[str, str], code: int) -> None:
    with agent(proxy) as caller:
        caller.send(caller.request("OPTIONS", *rows, **more))
        reply = caller.receive()
        assert reply.code == code
        assert reply.all("Unsupported") == (["teleport"] if code == 420 else [])


def test_what_gets_no_answer(proxy: Proxy) -> None:
    with agent(proxy) as caller:
        caller.send(b"\r\n\r\n")
        caller.send(b"this is no SIP\r\n\r\n")
        caller.send(caller.request("ACK", hops="0"))
        caller.send(caller.request("OPTIONS", "X-Mode: silent"))
        branch = "z9hG4bK.00000000t01000000010000000001"
        stray = caller.request("OPTIONS", branch=branch)
        caller.send(b"SIP/2.0 200 OK" + stray[stray.index(b"\r\n") :])
        assert caller.silent()
        caller.send(caller.request("OPTIONS", "X-Mode: reply"))
        assert caller.receive().code == 404


def test_onreply_route_drops_and_edits() -> None:
    with running("serve", "-w", "2", "--onreply-route", "drop_183") as proxy:
        with agent(proxy) as caller, Peer() as callee:
            caller.send(caller.request("INVITE", f"X-Target: {callee.uri}"))
            assert caller.receive().code == 100
            there = callee.receive()
            callee.answer(there, 183)
            callee.answer(there, 200)
            reply = caller.receive()
            assert reply.code == 200
            assert reply["X-Route"] == "onreply"


@pytest.mark.parametrize("program", PROGRAMS)
def test_nobody_answers(program: str) -> None:
    """Retransmissions by timer E, then 408 by timer F."""
    with running(program, "-w", "1", "--t1", "20ms") as proxy, agent(proxy) as caller:
        with Peer() as callee:
            caller.send(caller.request("MESSAGE", f"X-Target: {callee.uri}"))
            copies = [callee.receive() for _ in range(4)]
            assert len({copy["Via"] for copy in copies}) == 1
            assert caller.receive().code == 408


@pytest.mark.parametrize("program", PROGRAMS)
def test_term_waits_for_transactions(program: str) -> None:
    proxy = Proxy(program, "-w", "1", "--t1", "20ms")
    with agent(proxy) as caller, Peer() as callee:
        caller.send(caller.request("INVITE", f"X-Target: {callee.uri}"))
        assert caller.receive().code == 100
        there = callee.receive()
        callee.answer(there, 180)
        assert caller.receive().code == 180
        proxy.process.send_signal(signal.SIGTERM)
        while True:  # until the workers have seen it
            caller.send(caller.request("OPTIONS", "X-Mode: reply"))
            if (reply := caller.receive()).code == 503:
                break
        assert int(reply["Retry-After"]) > 0
        assert proxy.process.poll() is None
        callee.answer(there, 200)
        assert caller.receive().code == 200
    code, err = proxy.stop(signal.SIGUSR2)
    assert code == 0, err


@pytest.mark.parametrize("program", PROGRAMS)
def test_term_with_a_stuck_handler(program: str) -> None:
    proxy = Proxy(program, "-w", "2", "--graceful-timeout", "0.2")
    with agent(proxy) as caller:
        caller.send(caller.request("OPTIONS", "X-Mode: stuck"))
        assert caller.silent()
    code, err = proxy.stop(signal.SIGTERM)
    assert code == 1
    assert "1 workers are stuck in a handler" in err or "1 ranks were stuck" in err


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("level", ["-3", "-1"])
def test_log_level(program: str, level: str) -> None:
    """One option for engine and proxy: -1 shows what a handler raised, -3 is silent."""
    proxy = Proxy(program, "-w", "1", "--log-level", level)
    with agent(proxy) as caller:
        caller.send(caller.request("OPTIONS", "X-Mode: raise"))
        assert caller.receive().code == 500
    code, err = proxy.stop()
    assert code == 0, err
    assert ("Traceback" in err) == (level == "-1")


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_descriptor_left(program: str) -> None:
    """Peers beyond the limit are sent away; those that are there, and UDP, are served."""
    limited = ["prlimit", "--nofile=64", *command(program)]
    proxy = Proxy(limited, "-w", "1")
    peers: list[Peer] = []
    try:
        peers.extend(agent(proxy, "tcp") for _ in range(80))
        peers[0].send(peers[0].request("OPTIONS", "X-Mode: reply"))
        assert peers[0].receive().code == 404
        with agent(proxy) as caller:
            caller.send(caller.request("OPTIONS", "X-Mode: reply"))
            assert caller.receive().code == 404
    finally:
        for peer in peers:
            peer.socket.close()
    code, err = proxy.stop()
    assert code == 0, err


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--listen", "sctp:127.0.0.1:5060"], 3, "udp:HOST:PORT"),
        (["--listen", "udp:192.0.2.77:5060"], 3, "can not be listened on"),
        (["--listen", "udp:127.0.0.1:0", "--t1", "soon"], 3, "t1 must be"),
        (["--listen", "udp:127.0.0.1:0", "--relay", "maybe"], 3, "stateful or stateless"),
        ([], 3, "no address to listen on"),
    ],
)
def test_start_faults(program: str, options: list[str], code: int, words: str) -> None:
    ended = run([*command(program), "-w", "1", *options, str(HANDLER)])
    assert ended.code == code, ended.err
    assert words in ended.err


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_port_that_is_taken(program: str) -> None:
    """SO_REUSEPORT would let two proxies share it, and each lose calls."""
    with running(program, "-w", "1") as proxy:
        host, port = proxy.addresses["udp", 4]
        ended = run([*command(program), "-w", "1", "--listen", f"udp:{host}:{port}", str(HANDLER)])
        assert ended.code == 3
        assert "can not be listened on" in ended.err


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_broken_script(program: str) -> None:
    listen = ["--listen", LISTEN[0]]
    ended = run([*command(program), "-w", "1", *listen, "/nonexistent/handler.py"])
    assert ended.code in (3, 5), ended.err
    assert "handler.py" in ended.err


def test_usr2_prints_counters(proxy: Proxy) -> None:
    assert proxy.process.stderr is not None
    proxy.process.send_signal(signal.SIGUSR2)
    line = ""
    while "received_requests" not in line:
        line = text(proxy.process.stderr.readline())
        assert line


def fill_standard_error(proxy: Proxy, caller: Peer) -> None:
    """Has the proxy log more than a pipe holds, while nobody reads."""
    for _ in range(400):
        caller.send(caller.request("OPTIONS", "X-Mode: raise"))
        assert caller.receive().code == 500


def ended_unread(proxy: Proxy) -> int:
    """The exit code after TERM of a proxy whose standard error is left unread."""
    proxy.process.send_signal(signal.SIGTERM)
    code = proxy.process.wait(LIMIT)
    for stream in proxy.process.stdout, proxy.process.stderr:
        assert stream is not None
        stream.close()
    return code


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_standard_error_that_nobody_reads(program: str) -> None:
    """Calls go on, counters and the end do not wait, and the next reader learns what he missed."""
    proxy = Proxy(program, "-w", "1")
    assert proxy.process.stderr is not None
    with agent(proxy) as caller:
        fill_standard_error(proxy, caller)
        proxy.process.send_signal(signal.SIGUSR2)
        caller.send(caller.request("OPTIONS", "X-Mode: reply"))
        assert caller.receive().code == 404
        lines = []
        while not any("log lines were lost" in line for line in lines):
            # What fills the pipe is read first; then there is room for the line that comes now.
            if not select.select([proxy.process.stderr], [], [], 0.2)[0]:
                caller.send(caller.request("OPTIONS", "X-Mode: raise"))
                assert caller.receive().code == 500
            else:
                lines.append(text(proxy.process.stderr.readline()))
        assert any("asked for" in line for line in lines)
        fill_standard_error(proxy, caller)
    assert ended_unread(proxy) == 0


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_standard_error_whose_reader_has_gone(program: str) -> None:
    proxy = Proxy(program, "-w", "1")
    assert proxy.process.stderr is not None
    proxy.process.stderr.close()
    with agent(proxy) as caller:
        for mode, code in ("raise", 500), ("reply", 404), ("raise", 500):
            caller.send(caller.request("OPTIONS", f"X-Mode: {mode}"))
            assert caller.receive().code == code
    assert ended_unread(proxy) == 0


def test_check_and_print_config() -> None:
    base = [*command("serve"), str(HANDLER), "--listen", "udp:127.0.0.1:0", "-w", "3"]
    run([*base, "--check-config"]).expect(0)
    shown = run([*base, "--print-config"]).expect(0).out
    assert '"ranks"' in shown
    refused = run([*base, "--check-config", "--rank", "2:channel=queue"]).expect(3)
    assert "inline" in refused.err
    assert "udp:127.0.0.1:0" in shown
