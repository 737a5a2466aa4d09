"""What is no message, or an odd one: an error or a correct object, never another message's data."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isoexec import SIPMsg
from support.host import Host
from support.messages import CRLF, INVITE, OK, request

FAULTS = Path(__file__).parent / "handlers" / "faults.py"

NOT_SIP = {
    "one octet": b"\0",
    "white space": b"   \r\n",
    "line ends": b"\r\n\r\n",
    "zeros": bytes(200),
    "ones": b"\xff" * 200,
    "text": b"hello world",
    "http": b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
    "http reply": b"HTTP/1.1 200 OK\r\n\r\n",
    "stun": bytes.fromhex("000100002112a442") + bytes(12),
    "rtp": bytes.fromhex("8000123400000001deadbeef") + bytes(160),
    "tls": bytes.fromhex("160301010001000000fc0303") + bytes(120),
    "no version": b"INVITE sip:bob@example.org\r\n\r\n",
    "no R-URI": b"INVITE SIP/2.0\r\n\r\n",
    "status is text": b"SIP/2.0 abc OK\r\n\r\n",
    "no method": b" sip:bob@example.org SIP/2.0\r\n\r\n",
}


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    echoed: list[tuple[str | None, bytes]] = []

    def echo(call: Any, call_id: str | None, raw: str) -> int:
        echoed.append((call_id, bytes.fromhex(raw)))
        return 1

    with Host(FAULTS, functions={"echo": echo}) as opened:
        opened.echoed = echoed  # type: ignore[attr-defined]
        yield opened


def constructed(raw: bytes) -> SIPMsg | None:
    """The object over these octets, or None if they are refused with a reason."""
    try:
        return SIPMsg(raw)
    except ValueError as error:
        assert str(error)
        return None


def assert_not_read(result: Any) -> None:
    """The call was not made, or its first look at a header was an error."""
    assert result.code == -1
    assert result.outcome in ("malformed", "raised")
    assert "not a" in result.error


@pytest.mark.parametrize("status", ["20", "2000", "4294967301", "000", "-1"])
def test_an_odd_status_is_refused_or_answered_as_sent(host: Host, status: str) -> None:
    raw = f"SIP/2.0 {status} OK\r\nCall-ID: test@192.0.2.1\r\n\r\n".encode()
    message = constructed(raw)
    assert message is None or message.Status == status
    assert host.call("fine", raw).code in (7, -1)
    assert host.call("fine").code == 7


@pytest.mark.parametrize("raw", NOT_SIP.values(), ids=NOT_SIP.keys())
def test_octets_that_are_not_sip(host: Host, raw: bytes) -> None:
    assert constructed(raw) is None
    result = host.call("fine", raw)
    assert (result.code, result.outcome) == (-1, "malformed")
    assert "not" in result.error
    assert host.call("fine").code == 7


def test_no_octets_at_all(host: Host) -> None:
    assert constructed(b"") is None
    try:
        result = host.call("fine", b"")
    except ValueError:
        pass
    else:
        assert result.code == -1
        assert result.outcome in ("malformed", "refused")
    assert host.call("fine").code == 7


@pytest.mark.parametrize(
    "whole", [INVITE, OK, request(body=b"v=0\r\n")], ids=["request", "reply", "body"]
)
def test_truncation_at_every_length(host: Host, whole: bytes) -> None:
    """A part answers what the whole answers, or less; it never answers something else."""
    complete = SIPMsg(whole)
    names = complete.header_names()
    for length in range(len(whole)):
        part = constructed(whole[:length])
        result = host.call("fine", whole[:length])
        if part is None:
            assert_not_read(result)
            continue
        assert result.outcome in ("returned", "raised"), length
        assert part.Type == complete.Type
        try:
            values = {name: part.getHeader(name) for name in names}
        except (ValueError, RuntimeError):
            continue
        for name, value in values.items():
            assert value is None or (complete.getHeader(name) or "").startswith(value), (
                length,
                name,
            )
    assert host.call("fine").code == 7


@pytest.mark.parametrize(
    "raw",
    [
        request("X-Nul: a\0b"),
        request("X-Nul: \0"),
        request("X\0Nul: a"),
        request(ruri="sip:bo\0b@example.org"),
        request(method="IN\0VITE"),
        request() + b"\0",
        b"\0" + request(),
    ],
    ids=["value", "value only", "name", "R-URI", "method", "after", "before"],
)
def test_nul(host: Host, raw: bytes) -> None:
    message = constructed(raw)
    if message is not None:
        assert message.raw == raw
        try:
            assert message.getHeader("Call-ID") == "test@192.0.2.1"
            assert message.getHeader("X-Nul") in (None, "a\0b", "\0")
        except (ValueError, RuntimeError) as error:
            assert str(error)
    assert host.call("fine", raw).outcome in ("returned", "malformed", "raised")
    assert host.call("fine").code == 7


def test_a_message_of_64_kilobytes(host: Host) -> None:
    body = bytes(range(256)) * 252
    raw = request("X-Last: yes", body=body)
    assert len(raw) > 64_000
    message = SIPMsg(raw)
    assert message.body == body
    assert message.getHeader("X-Last") == "yes"
    assert host.call("fine", raw).code == 7


def test_a_header_of_64_kilobytes(host: Host) -> None:
    raw = request("X-Long: " + "v" * 65_535, "X-Last: yes")
    message = SIPMsg(raw)
    assert message.getHeader("X-Long") == "v" * 65_535
    assert message.getHeader("X-Last") == "yes"
    assert host.call("fine", raw).code == 7


def test_a_header_name_of_70_kilobytes(host: Host) -> None:
    """Longer than an index row can say: refused, or all of it."""
    name = "X" * 70_000
    message = constructed(request(f"{name}: value", "X-Last: yes"))
    try:
        assert message is None or message.getHeader(name) == "value"
    except (ValueError, RuntimeError) as error:
        assert str(error)
    assert host.call("fine").code == 7


def test_500_headers(host: Host) -> None:
    raw = request(*(f"X-{number}: value {number}" for number in range(500)))
    message = SIPMsg(raw)
    for number in (0, 55, 56, 57, 58, 63, 64, 65, 66, 250, 499):
        assert message.getHeader(f"x-{number}") == f"value {number}"
    assert message.getHeader("X-500") is None
    assert message.getHeader("l") == "0"
    assert len(message.header_names()) == 507
    assert host.call("fine", raw).code == 7


def test_500_rows_of_one_header() -> None:
    message = SIPMsg(request(*(f"Route: <sip:p{number}.example.net;lr>" for number in range(500))))
    assert message.headers("Route") == [f"<sip:p{number}.example.net;lr>" for number in range(500)]


def test_bare_line_feeds(host: Host) -> None:
    """One reading for all of it: refused, or each bare LF ends a line."""
    raw = request(body=b"").replace(CRLF, b"\n")
    message = constructed(raw)
    if message is not None:
        try:
            assert message.getHeader("Call-ID") == "test@192.0.2.1"
        except (ValueError, RuntimeError) as error:
            assert str(error)
    assert host.call("fine", raw).outcome in ("returned", "malformed", "raised")
    assert host.call("fine").code == 7


def test_octets_that_are_not_utf8(host: Host) -> None:
    raw = request(b"X-Odd: \xff\xfe \xe9 end", b"X-More: caf\xe9")
    message = SIPMsg(raw)
    value = message.getHeader("X-Odd")
    assert value is not None
    assert value.encode("utf-8", "surrogateescape") == b"\xff\xfe \xe9 end"
    assert message.getHeader("X-More") == "caf\udce9"
    assert message.raw == raw
    assert host.call("fine", raw).code == 7


def test_a_r_uri_that_is_not_utf8(host: Host) -> None:
    raw = INVITE.replace(b"bob@", b"b\xf6b@", 1)
    assert SIPMsg(raw).RURI == "sip:b\udcf6b@example.org"
    assert host.call("fine", raw).code == 7


def test_odd_headers() -> None:
    message = SIPMsg(
        request("X-Empty:", "X-Close:value", "X-Space  : value", "X-Foo: 1", "X-Foo: 2")
    )
    assert message.getHeader("X-Empty") == ""
    assert message.getHeader("X-Close") == "value"
    assert message.getHeader("X-Space") == "value"
    assert message.getHeader("X-Foo") == "1"
    assert message.headers("X-Foo") == ["1", "2"]


def test_two_lengths() -> None:
    """The first Content-Length is answered and the body is not guessed (RFC 4475 3.3.9)."""
    message = SIPMsg(request("Content-Length: 3") + b"abcdef")
    assert message.getHeader("Content-Length") == "3"
    assert message.body == b"abc"


@pytest.mark.parametrize("length", ["-1", "abc", "99999999999999999999", "10", "", "1 2"])
def test_a_wrong_length_means_no_body(length: str) -> None:
    raw = INVITE.replace(b"Content-Length: 0", f"Content-Length: {length}".encode()) + b"abc"
    assert SIPMsg(raw).body is None


def test_no_message_answers_for_another(host: Host) -> None:
    """Messages of changing length in one buffer: each call reads its own octets and no more."""
    sent = [
        request(
            *(f"X-Pad: {'p' * (k % 7) * 9}" for _ in range(k % 5)), call_id=f"id-{k}@example.net"
        )
        for k in range(500)
    ]
    host.echoed.clear()  # type: ignore[attr-defined]
    for message in sent:
        assert host.call("echo", message).code == 1
    wanted = [(f"id-{k}@example.net", message) for k, message in enumerate(sent)]
    assert host.echoed == wanted  # type: ignore[attr-defined]


def test_damaged_messages(host: Host) -> None:
    """Random damage, always the same: an error or an object that answers what is there."""
    damage = random.Random(3)
    whole = request(
        "Supported: a, b", 'X-Quoted: "a, b" <sip:x@y>', "X-Fold: a\r\n b", body=b"body"
    )
    for _ in range(2000):
        raw = bytearray(whole)
        for _ in range(damage.randrange(1, 6)):
            at = damage.randrange(len(raw))
            kind = damage.randrange(3)
            if kind == 0:
                raw[at] = damage.randrange(256)
            elif kind == 1:
                del raw[at : at + damage.randrange(1, 30)]
            else:
                raw[at:at] = damage.choice([b"\r\n", b"\0", b":", b"\n", b" ", b'"', b"<", b","])
        message = constructed(bytes(raw))
        result = host.call("fine", bytes(raw))
        if message is None:
            assert_not_read(result)
        else:
            assert result.outcome in ("returned", "raised")
            read_all(message, bytes(raw))
    assert host.call("fine").code == 7


def read_all(message: SIPMsg, raw: bytes) -> None:
    try:
        for name in message.header_names():
            for value in message.headers(name):
                for word in value.split():
                    assert word.encode("utf-8", "surrogateescape") in raw
        assert message.body is None or message.body in raw
    except (ValueError, RuntimeError) as error:
        assert str(error)
