"""Pseudo-variables over real sockets: msg.get_pseudoVar, msg.set_pseudoVar, and those in texts."""

import json
from collections.abc import Iterator

import pytest

from support.programs import Programs, programs

ROWS = (
    "User-Agent: Test Agent",
    "Contact: <sip:alice@192.0.2.9>;q=1",
    "X-Fold: one\r\n two",
    "X-Many: first",
    "X-Many: second",
)


@pytest.fixture(scope="module", params=["serve", "isoproxy"])
def at(request: pytest.FixtureRequest) -> Iterator[Programs]:
    with programs(request.param, "--t1", "100ms") as started:
        yield started


def test_each(at: Programs) -> None:
    host, port = at.proxy.addresses["udp", 4]
    expected = {
        "$ru": "sip:bob@127.0.0.1:5099;x=y",
        "$rU": "bob",
        "$rd": "127.0.0.1",
        "$rp": "5099",
        "$du": "<null>",
        "$rm": "MESSAGE",
        "$rs": "<null>",
        "$rr": "<null>",
        "$si": "127.0.0.1",
        "$sp": str(at.caller.port),
        "$Ri": host,
        "$Rp": str(port),
        "$fu": "sip:alice@example.com",
        "$fU": "alice",
        "$fd": "example.com",
        "$ft": "a1",
        "$tu": "sip:bob@example.org",
        "$tU": "bob",
        "$td": "example.org",
        "$tt": "there",
        "$cs": "1",
        "$ua": "Test Agent",
        "$ct": "<sip:alice@192.0.2.9>;q=1",
        "$rb": "a\r\n body",
        "$hdr(X-Many)": "first",
        "$(hdr(X-Many)[1])": "second",
        "$(hdr(X-Many)[-1])": "second",
        "$(hdr(X-Many)[2])": "<null>",
        "$(hdr(X-Many)[-3])": "<null>",
        "$(hdr(x-many))": "first",
        "$hdr( X-Fold )": "one two",
        "$hdr(None)": "<null>",
        "$hdr(f)": "<sip:alice@example.com>;tag=a1",
        "$var(none)": "<null>",
        "$avp(none)": "<null>",
        "$T_branch_idx": "<null>",
        "$T_reply_code": "<null>",
        "$(ru)": "sip:bob@127.0.0.1:5099;x=y",
    }
    steps = [["=", name] for name in expected]
    at.send(
        "MESSAGE",
        [*steps, ["=", "$ci"], ["=", "$ml $mb"], ["drop"]],
        *ROWS,
        uri="sip:bob@127.0.0.1:5099;x=y",
        to_tag=";tag=there",
        body="a\r\n body",
    )
    ((found),) = at.of("Request")
    assert dict(zip(expected, found[:-3], strict=True)) == expected
    call_id, whole, _ = found[-3:]
    assert call_id == at.call_id
    length, _, octets = whole.partition(" ")
    assert octets.startswith("MESSAGE sip:bob@127.0.0.1:5099;x=y SIP/2.0\r\n")
    assert int(length) == len(octets)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("$fU -> $rU", "alice -> bob"),
        ("[$fU][$fU]", "[alice][alice]"),
        ("$$fU", "$fU"),
        ("$", "$"),
        ("5$ or $ 5", "5$ or $ 5"),
        ("$fU$tU", "alicebob"),
        ("$nothing", None),
        ("$fU and $nothing", None),
        ("$hdr", None),
        ("$hdr()", None),
        ("$hdr(X", None),
        ("$(hdr(X)[x])", None),
        ("$(fU{s.len})", None),
        ("$(fU", None),
        ("$()", None),
        ("$rUx", None),
    ],
)
def test_formats(at: Programs, text: str, expected: str | None) -> None:
    assert at.run(["=", text]) == [expected]


def test_reply(at: Programs) -> None:
    steps = [["=", "$rs $rr $rm $T_branch_idx $T_reply_code"], ["=", "$ru"], ["=", "$avp(kept)"]]
    at.send("MESSAGE", [["=", "$avp(kept)", "value"]])
    there = at.callee.receive()
    at.callee.answer(there, 202, "Taken", f"X-Reply: {json.dumps(steps)}")
    assert at.caller.receive().code == 202
    assert at.of("Reply") == [["202 Taken MESSAGE 0 202", "<null>", "value"]]


def test_var_stays_with_the_worker(at: Programs) -> None:
    assert at.run(["=", "$var(x)", "one"], ["=", "$var(x)"]) == [None, "one"]
    assert at.run(["=", "$var(x)"], ["=", "$var(x)", ""], ["=", "[$var(x)]"]) == ["one", None, "[]"]


def test_avp_stays_with_the_transaction(at: Programs) -> None:
    branch = json.dumps([["=", "$avp(x)"], ["=", "$avp(x)", "of the branch"]])
    failure = json.dumps([["=", "$avp(x)"], ["=", "$T_reply_code"], ["t_reply", 404]])
    at.send("MESSAGE", [["=", "$avp(x)", "early"]], f"X-Branch: {branch}", f"X-Failure: {failure}")
    at.callee.answer(at.callee.receive(), 486)
    assert at.caller.receive().code == 404
    assert at.results() == [
        ["Request", None],
        ["Branch", "early", None],
        ["Failure", "of the branch", "486", 1],
    ]
    assert at.run(["=", "$avp(x)"]) == ["<null>"]


def test_a_value_of_itself(at: Programs) -> None:
    steps = [["=", "$var(y)", "a"], *[["setflag", "y"], ["=", "$var(y)"]]]
    assert at.run(*steps) == [None, 1, "a"]


def test_rc(at: Programs) -> None:
    assert at.run(["is_method", "INVITE"], ["=", "$rc"], ["setflag", 1], ["=", "$rc"]) == [
        -1,
        "-1",
        1,
        "1",
    ]


@pytest.mark.parametrize(
    "name", ["$rm", "$fu", "$hdr(X)", "$ml", "$nothing", "ru", "", "$", "$ru x", "$ruu"]
)
def test_what_can_not_be_set(at: Programs, name: str) -> None:
    """Nothing happens, but a line in the log: scripts for OpenSIPS go on."""
    found = at.run(["=", name, "sip:x@y"], ["=", "$ru $rm $fu"])
    assert found == [None, f"sip:bob@{at.callee.sent_by} MESSAGE sip:alice@example.com"]


def test_uris_that_are_none(at: Programs) -> None:
    for name, value in (
        ("$ru", "x"),
        ("$du", "x"),
        ("$ru", "sip:a@b\r\nX: 1"),
        ("$rp", "x"),
        ("$rd", ""),
    ):
        error, after = at.run(["=", name, value], ["=", "$ru$du"])
        assert error.startswith("RuntimeError: ")
        assert after == f"sip:bob@{at.callee.sent_by}<null>"


def test_too_many_values(at: Programs) -> None:
    """What a worker keeps is bounded."""
    steps = [["=", f"$avp(n{number})", "x"] for number in range(150)]
    at.send("MESSAGE", [*steps, ["t_newtran"], *[["=", f"$avp(m{n})", "x"] for n in range(110)]])
    at.callee.answer(at.callee.receive(), 200)
    assert at.caller.receive().code == 200
    ((*_,),) = at.of("Request")
    found = at.run(*[["=", f"$avp(k{number})", "x"] for number in range(200)])
    assert set(found) == {None}


def test_large_texts(at: Programs) -> None:
    assert at.run(["=", "$hdr(X-L)" * 8], rows=(f"X-L: {'x' * 7000}",)) == ["x" * 56000]
    (error,) = at.run(["=", "$hdr(X-L)" * 10], rows=(f"X-L: {'x' * 7000}",))
    assert error.startswith("RuntimeError: the text with its pseudo-variables is longer")
