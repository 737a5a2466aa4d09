"""The example handlers of the proxy, with real requests."""

import hashlib
import hmac
import json
import re
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.corpus import CHECKOUT
from support.proxies import Message, Peer, Proxy, running

EXAMPLES = CHECKOUT / "examples"
INVITE_ROWS = ("Contact: <sip:alice@127.0.0.1>",)


@contextmanager
def example(name: str, *options: str, **env: str) -> Iterator[Proxy]:
    """The example on two workers, with what it reads from the environment."""
    words = ("-w", "2", "--t1", "50ms", *options)
    with running("isoproxy", *words, handler=EXAMPLES / name, env=env) as proxy:
        yield proxy


@contextmanager
def caller_of(proxy: Proxy) -> Iterator[Peer]:
    with Peer(to=proxy.addresses["udp", 4]) as caller:
        yield caller


def final(peer: Peer) -> Message:
    while (reply := peer.receive()).code < 200:
        pass
    return reply


# ---- least-cost routing


@pytest.fixture
def carriers(tmp_path: Path) -> Iterator[tuple[Proxy, list[Peer]]]:
    with Peer() as one, Peer() as two, Peer() as three:
        rates = tmp_path / "rates.csv"
        rates.write_text(
            "prefix,gateway,price\n"
            f"44,{one.uri},0.02\n44,{two.uri},0.01\n4420,{three.uri},0.03\n4420,{one.uri},0.04\n"
        )
        with example("least_cost.py", ISOEXEC_RATES=str(rates)) as proxy:
            yield proxy, [one, two, three]


def test_the_cheapest_gateway_of_the_longest_prefix(carriers: tuple[Proxy, list[Peer]]) -> None:
    proxy, (_, two, three) = carriers
    with caller_of(proxy) as caller:
        for number, gateway in (("+4420123", three), ("4479123", two)):
            raw = caller.request("INVITE", *INVITE_ROWS, uri=f"sip:{number}@example.net")
            caller.send(raw)
            there = gateway.receive()
            assert there.start == f"INVITE sip:{number}@example.net SIP/2.0"
            assert "Record-Route" in dict(there.rows)
            gateway.answer(there, 200)
            assert final(caller).code == 200


def test_the_next_gateway_after_a_failure(carriers: tuple[Proxy, list[Peer]]) -> None:
    proxy, (one, two, _) = carriers
    with caller_of(proxy) as caller:
        caller.send(caller.request("INVITE", *INVITE_ROWS, uri="sip:4479@example.net"))
        two.answer(two.receive(), 503)
        assert two.receive().start.startswith("ACK")
        there = one.receive()
        one.answer(there, 486)  # that is the callee's own answer, and the last gateway
        assert one.receive().start.startswith("ACK")
        assert final(caller).code == 486


def test_a_busy_callee_is_not_tried_again(carriers: tuple[Proxy, list[Peer]]) -> None:
    proxy, (one, two, _) = carriers
    with caller_of(proxy) as caller:
        caller.send(caller.request("INVITE", *INVITE_ROWS, uri="sip:4479@example.net"))
        two.answer(two.receive(), 486)
        assert final(caller).code == 486
        assert one.silent(0.2)


def test_no_route(carriers: tuple[Proxy, list[Peer]]) -> None:
    with caller_of(carriers[0]) as caller:
        caller.send(caller.request("INVITE", *INVITE_ROWS, uri="sip:99@example.net"))
        assert final(caller).start == "SIP/2.0 404 No Route to 99"


def test_new_rates_after_a_signal(tmp_path: Path) -> None:
    rates = tmp_path / "rates.csv"
    with Peer() as gateway:
        rates.write_text("prefix,gateway,price\n")
        with (
            example("least_cost.py", ISOEXEC_RATES=str(rates)) as proxy,
            caller_of(proxy) as caller,
        ):
            caller.send(caller.request("INVITE", *INVITE_ROWS, uri="sip:44@example.net"))
            assert final(caller).code == 404
            rates.write_text(f"prefix,gateway,price\n44,{gateway.uri},1\n")
            proxy.process.send_signal(signal.SIGHUP)
            gateway.socket.settimeout(0.1)
            for _ in range(100):
                caller.send(caller.request("INVITE", *INVITE_ROWS, uri="sip:44@example.net"))
                try:
                    gateway.receive()
                    return
                except TimeoutError:
                    continue
            pytest.fail("the new rates are not used")


# ---- registrar


@pytest.fixture
def registrar(tmp_path: Path) -> Iterator[Proxy]:
    with example("registrar.py", ISOEXEC_LOCATIONS=str(tmp_path / "locations")) as proxy:
        yield proxy


class Phone:
    """A user agent that registers."""

    def __init__(self, peer: Peer) -> None:
        self.peer, self.cseq = peer, 0

    def register(self, *rows: str, cseq: int | None = None) -> Message:
        self.cseq = cseq if cseq is not None else self.cseq + 1
        raw = self.peer.request("REGISTER", *rows, uri="sip:example.org", call_id="phone")
        self.peer.send(raw.replace(b"CSeq: 1 ", f"CSeq: {self.cseq} ".encode()))
        return final(self.peer)


def test_register_refresh_and_remove(registrar: Proxy) -> None:
    with caller_of(registrar) as peer:
        phone = Phone(peer)
        assert phone.register().all("Contact") == []
        (row,) = phone.register(f"Contact: <{peer.uri}>;expires=600").all("Contact")
        assert re.fullmatch(rf"<{re.escape(peer.uri)}>;expires=(600|599)", row)
        other = f"Contact: <{peer.uri};x=1>, <sip:third@127.0.0.1>"
        assert len(phone.register(other, "Expires: 100").all("Contact")) == 3
        assert len(phone.register(f"Contact: <{peer.uri}>;expires=0").all("Contact")) == 2
        assert phone.register("Contact: *", "Expires: 0").all("Contact") == []


def test_contacts_are_no_formats(registrar: Proxy) -> None:
    """A '$' of the network is none of the proxy's variables."""
    with caller_of(registrar) as peer, Peer() as one:
        contact = f"<sip:$ci$nothing@{one.sent_by};transport=udp>"
        (row,) = Phone(peer).register(f"Contact: {contact}").all("Contact")
        assert row.startswith(contact)
        Phone(peer).register(f"Contact: <{one.uri}>", cseq=2)
        peer.send(peer.request("MESSAGE", uri="sip:bob@example.org"))
        starts = {one.receive().start, one.receive().start}
        assert f"MESSAGE {contact[1:-1]} SIP/2.0" in starts


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (("Contact: *",), 400),
        (("Contact: *", "Expires: 5"), 400),
        (("Contact: <sip:a@b>;expires=5",), 423),
        (("Contact: <tel:+1>",), 400),
        ((f"Contact: {', '.join(f'<sip:{n}@b>' for n in range(11))}",), 403),
    ],
)
def test_registrations_that_are_refused(registrar: Proxy, rows: tuple[str, ...], code: int) -> None:
    with caller_of(registrar) as peer:
        phone = Phone(peer)
        reply = phone.register(*rows)
        assert reply.code == code
        assert code != 423 or reply["Min-Expires"] == "60"
        assert phone.register().all("Contact") == []  # all or nothing


def test_an_old_register_changes_nothing(registrar: Proxy) -> None:
    with caller_of(registrar) as peer:
        phone = Phone(peer)
        phone.register(f"Contact: <{peer.uri}>", cseq=5)
        assert phone.register(f"Contact: <{peer.uri}>;expires=0", cseq=4).code == 500
        assert len(phone.register(cseq=6).all("Contact")) == 1


def test_calls_ring_where_the_user_is(registrar: Proxy) -> None:
    with caller_of(registrar) as caller, Peer() as one, Peer() as two:
        caller.send(caller.request("INVITE", *INVITE_ROWS, uri="sip:bob@example.org"))
        assert final(caller).code == 404
        with caller_of(registrar) as peer:
            Phone(peer).register(f"Contact: <{one.uri}>, <{two.uri}>")
        caller.send(caller.request("INVITE", *INVITE_ROWS, uri="sip:BOB@example.org"))
        first, second = one.receive(), two.receive()
        two.answer(second, 200)
        assert final(caller).code == 200
        one.answer(first, 180)
        assert one.receive().start.startswith("CANCEL")


# ---- dispatcher


def whoever(*peers: Peer) -> tuple[Peer, Message]:
    """The first of them that gets something, and what."""
    ready, _, _ = select.select([peer.socket for peer in peers], [], [], 10)
    (peer, *_) = [peer for peer in peers if peer.socket in ready]
    return peer, peer.receive()


def test_calls_are_spread() -> None:
    with Peer() as one, Peer() as two:
        servers = f"{one.uri} {two.uri}*3"
        with (
            example("dispatcher.py", "-w", "1", ISOEXEC_SERVERS=servers) as proxy,
            caller_of(proxy) as caller,
        ):
            uses = []
            for _ in range(8):
                caller.send(caller.request("MESSAGE", uri="sip:bob@example.net"))
                server, there = whoever(one, two)
                uses.append(server)
                server.answer(there, 200)
                assert final(caller).code == 200
            assert (uses.count(one), uses.count(two)) == (2, 6)


def test_a_server_that_failed_is_left_out() -> None:
    with Peer() as good, Peer() as bad:
        servers = f"{good.uri} {bad.uri}*3"
        with (
            example("dispatcher.py", "-w", "1", ISOEXEC_SERVERS=servers) as proxy,
            caller_of(proxy) as caller,
        ):
            uses = []
            for _ in range(8):
                caller.send(caller.request("MESSAGE", uri="sip:bob@example.net"))
                server, there = whoever(good, bad)
                if server is bad:
                    bad.answer(there, 503)
                    uses.append(server)
                    server, there = whoever(good, bad)
                assert server is good
                good.answer(there, 200)
                assert final(caller).code == 200
            assert len(uses) == 1


def test_a_busy_callee_is_no_fault_of_a_server() -> None:
    with Peer() as server:
        with example("dispatcher.py", ISOEXEC_SERVERS=server.uri) as proxy:
            with caller_of(proxy) as caller:
                for _ in range(2):
                    caller.send(caller.request("MESSAGE", uri="sip:bob@example.net"))
                    server.answer(server.receive(), 486)
                    assert final(caller).code == 486


# ---- digest authentication


def parameters(value: str) -> dict[str, str]:
    return dict(re.findall(r'(\w+)="?([^",]*)"?', value.partition(" ")[2]))


def answer_to(
    challenge: dict[str, str], method: str, to: str, changes: dict[str, str] | None = None
) -> str:
    """A Digest answer by RFC 7616 3.4.1, written independently of the example."""
    given = {"user": "alice", "password": "secret", "uri": to, "nonce": challenge["nonce"]}
    given |= changes or {}
    make = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}[challenge["algorithm"]]

    def h(text: str) -> str:
        return make(text.encode()).hexdigest()

    ha1 = h(f"{given['user']}:{challenge['realm']}:{given['password']}")
    ha2 = h(f"{method}:{given['uri']}")
    response = h(f"{ha1}:{given['nonce']}:00000001:cn:auth:{ha2}")
    return (
        f'Digest username="{given["user"]}", realm="{challenge["realm"]}",'
        f' nonce="{given["nonce"]}", uri="{given["uri"]}", response="{response}",'
        f" algorithm={challenge['algorithm']},"
        ' cnonce="cn", nc=00000001, qop=auth'
    )


@pytest.fixture(scope="module")
def guarded() -> Iterator[Proxy]:
    with example("digest_auth.py", ISOEXEC_DIGEST_KEY="of the tests") as proxy:
        yield proxy


def challenges(caller: Peer, method: str, uri: str) -> list[dict[str, str]]:
    caller.send(caller.request(method, uri=uri))
    reply = final(caller)
    assert reply.code == (401 if method == "REGISTER" else 407)
    name = "WWW-Authenticate" if method == "REGISTER" else "Proxy-Authenticate"
    return [parameters(value) for value in reply.all(name)]


@pytest.mark.parametrize("algorithm", ["SHA-256", "MD5"])
def test_the_right_password(guarded: Proxy, algorithm: str) -> None:
    with caller_of(guarded) as caller, Peer() as callee:
        found = challenges(caller, "MESSAGE", callee.uri)
        assert [row["algorithm"] for row in found] == ["SHA-256", "MD5"]
        (wanted,) = [row for row in found if row["algorithm"] == algorithm]
        row = f"Proxy-Authorization: {answer_to(wanted, 'MESSAGE', callee.uri)}"
        caller.send(caller.request("MESSAGE", row, uri=callee.uri))
        there = callee.receive()
        assert not there.all("Proxy-Authorization")
        callee.answer(there, 200)
        assert final(caller).code == 200


def test_register(guarded: Proxy) -> None:
    with caller_of(guarded) as caller:
        wanted = challenges(caller, "REGISTER", "sip:example.com")[0]
        row = f"Authorization: {answer_to(wanted, 'REGISTER', 'sip:example.com')}"
        caller.send(caller.request("REGISTER", row, uri="sip:example.com"))
        assert final(caller).start == "SIP/2.0 200 Hello alice"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"password": "wrong"}, 403),
        ({"user": "nobody"}, 403),
        ({"user": 'a"b\\'}, 407),
        ({"uri": "sip:other@example.com"}, 403),
        ({"nonce": "0.0"}, 407),
        ({"nonce": "zz"}, 407),
        ({"nonce": "é"}, 407),
    ],
)
def test_wrong_answers(guarded: Proxy, changes: dict[str, str], code: int) -> None:
    with caller_of(guarded) as caller:
        wanted = challenges(caller, "MESSAGE", "sip:bob@127.0.0.1:9")[0]
        answer = answer_to(wanted, "MESSAGE", "sip:bob@127.0.0.1:9", changes)
        raw = caller.request("MESSAGE", f"Proxy-Authorization: {answer}", uri="sip:bob@127.0.0.1:9")
        caller.send(raw)
        assert final(caller).code == code


def test_an_old_nonce_is_stale(guarded: Proxy) -> None:
    stamp = 1_000_000_000
    nonce = (
        f"{stamp:x}." + hmac.new(b"of the tests", str(stamp).encode(), "sha256").hexdigest()[:32]
    )
    with caller_of(guarded) as caller:
        wanted = challenges(caller, "MESSAGE", "sip:bob@127.0.0.1:9")[0]
        answer = answer_to(wanted, "MESSAGE", "sip:bob@127.0.0.1:9", {"nonce": nonce})
        caller.send(
            caller.request("MESSAGE", f"Proxy-Authorization: {answer}", uri="sip:bob@127.0.0.1:9")
        )
        reply = final(caller)
        assert reply.code == 407
        assert all(parameters(row)["stale"] == "true" for row in reply.all("Proxy-Authenticate"))


@pytest.mark.parametrize(
    "value",
    ["", "Basic x", "Digest", 'Digest realm="', "Digest =,=,", 'Digest realm="example.com"'],
)
def test_headers_that_are_no_answer(guarded: Proxy, value: str) -> None:
    with caller_of(guarded) as caller:
        caller.send(
            caller.request("MESSAGE", f"Proxy-Authorization: {value}", uri="sip:b@127.0.0.1")
        )
        assert final(caller).code == 407


# ---- rate limit


def test_a_caller_that_calls_too_often() -> None:
    with example("rate_limit.py") as proxy, caller_of(proxy) as caller, Peer() as callee:
        codes = []
        for _ in range(15):
            caller.send(caller.request("MESSAGE", uri=callee.uri))
            callee.socket.settimeout(0.1)
            try:
                callee.answer(callee.receive(), 200)
            except TimeoutError:
                pass
            reply = final(caller)
            codes.append(reply.code)
            if reply.code == 503:
                assert reply["Retry-After"] == "1"
                break
        assert codes[:10] == [200] * 10
        assert codes[-1] == 503
        caller.send(caller.request("BYE", uri=callee.uri))
        callee.socket.settimeout(10)
        assert callee.receive().start.startswith("BYE")


def test_each_example_is_named_in_the_docs() -> None:
    page = (CHECKOUT / "docs" / "examples.md").read_text()
    names = [path.name for path in EXAMPLES.glob("*.py")]
    assert json.dumps(sorted(name for name in names if name not in page)) == "[]"
