"""Host functions of the proxy over real sockets: what they give, and what leaves."""

import json
import re
from collections.abc import Iterator

import pytest

from support.programs import Programs, programs
from support.proxies import Peer


@pytest.fixture(scope="module", params=["serve", "isoproxy"])
def at(request: pytest.FixtureRequest) -> Iterator[Programs]:
    with programs(request.param, "--t1", "100ms") as started:
        yield started


# ---- tests of the message ----


@pytest.mark.parametrize(
    ("methods", "expected"),
    [
        ("MESSAGE", 1),
        ("INVITE|MESSAGE", 1),
        ("MESSAGE|INVITE", 1),
        (" INVITE | MESSAGE ", 1),
        ("INVITE|ACK", -1),
        ("message", -1),
        ("MESSAGES", -1),
        ("", -1),
        ("|", -1),
    ],
)
def test_is_method(at: Programs, methods: str, expected: int) -> None:
    assert at.run(["is_method", methods]) == [expected]


def test_is_method_of_a_reply(at: Programs) -> None:
    steps = [["is_method", "MESSAGE"], ["is_method", "INVITE"], ["has_totag"]]
    at.relayed(rows=(f"X-Branch: {json.dumps(steps)}",))
    assert at.results() == [["Request"], ["Branch", 1, -1, -1]]


@pytest.mark.parametrize(
    ("tag", "expected"), [("", -1), (";tag=b1", 1), (";tag=", -1), (";x=tag", -1)]
)
def test_has_totag(at: Programs, tag: str, expected: int) -> None:
    at.send("MESSAGE", [["has_totag"], ["drop"]], to_tag=tag)
    assert at.results() == [["Request", expected, 1]]


def test_loose_route(at: Programs) -> None:
    host, port = at.proxy.addresses["udp", 4]
    assert at.run(["loose_route"]) == [-1]
    assert at.run(["loose_route"], rows=(f"Route: <sip:{host}:{port};lr>",)) == [1]
    there = at.relayed(["loose_route"], rows=(f"Route: <sip:{host}:{port};lr>",))
    assert not there.all("Route")


# ---- Max-Forwards ----


@pytest.mark.parametrize(
    ("most", "hops", "code", "leaves"),
    [("10", "70", 1, "10"), (10, "5", 1, "4"), ("10", "11", 1, "10"), ("0", "5", 1, "0")],
)
def test_max_forwards(at: Programs, most: object, hops: str, code: int, leaves: str) -> None:
    at.send("MESSAGE", [["mf_process_maxfwd_header", most]], hops=hops)
    there = at.callee.receive()
    at.callee.answer(there, 200)
    assert at.caller.receive().code == 200
    assert there.all("Max-Forwards") == [leaves]
    assert at.results()[0] == ["Request", code]


def test_max_forwards_is_put_in(at: Programs) -> None:
    raw = at.caller.request(
        "MESSAGE", 'X-Request: [["mf_process_maxfwd_header", 9]]', uri=at.callee.uri
    )
    at.caller.send(re.sub(rb"Max-Forwards: 70\r\n", b"", raw))
    there = at.callee.receive()
    at.callee.answer(there, 200)
    assert at.caller.receive().code == 200
    assert there.all("Max-Forwards") == ["9"]


# ---- flags ----


def test_flags(at: Programs) -> None:
    steps = [["isflagset", "nat"], ["setflag", "nat"], ["isflagset", "nat"], ["setflag", 3]]
    steps += [
        ["isflagset", "3"],
        ["resetflag", "nat"],
        ["isflagset", "nat"],
        ["isflagset", "other"],
    ]
    assert at.run(*steps) == [-1, 1, 1, 1, 1, 1, -1, -1]
    assert at.run(["isflagset", 3]) == [-1]  # of another message


def test_flags_go_with_the_transaction(at: Programs) -> None:
    late = [
        ["isflagset", "early"],
        ["isflagset", "late"],
        ["isflagset", "other"],
        ["setflag", "branch"],
    ]
    rows = (
        f"X-Branch: {json.dumps(late)}",
        f"X-Failure: {json.dumps([['isflagset', 'branch'], ['t_reply', 404]])}",
    )
    at.send(
        "MESSAGE", [["setflag", "early"], ["t_newtran"], ["setflag", "late"], ["t_relay"]], *rows
    )
    there = at.callee.receive()
    at.callee.answer(there, 486)
    assert at.caller.receive().code == 404
    assert [row for row in at.results() if row[0] != "Request"] == [
        ["Branch", 1, 1, -1, 1],
        ["Failure", 1, 1],
    ]


def test_flags_that_are_none(at: Programs) -> None:
    for bad in ("", "x" * 32, -1):
        (error,) = at.run(["setflag", bad])
        assert error.startswith("RuntimeError: a flag has a name")


# ---- rows ----


def test_rows(at: Programs) -> None:
    there = at.relayed(
        ["append_hf", "X-Last: $rm and $fU\r\n"],
        ["insert_hf", "X-First: 1\r\nX-Second: 2\r\n"],
        ["append_hf", "X-More: a\nX-More: b", "Call-ID"],
    )
    names = [row[0] for row in there.rows]
    assert there["X-Last"] == "MESSAGE and alice"
    assert names.index("X-First") < names.index("X-Second") < names.index("From")
    assert there.all("X-More") == ["a", "b"]


@pytest.mark.parametrize(
    "text", ["", "no colon", "X-Good: 1\r\nbad", ": no name", "a b: 1", "\r\n"]
)
def test_rows_that_are_none(at: Programs, text: str) -> None:
    (error,) = at.run(["append_hf", text])
    assert error.startswith("RuntimeError: ")


# ---- where it goes ----


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([["setuser", "carol"]], "sip:carol@127.0.0.1"),
        ([["setuser", ""]], "sip:127.0.0.1"),
        ([["sethost", "example.net"]], "sip:bob@example.net"),
        ([["sethost", "2001:db8::1"], ["setport", 5080]], "sip:bob@[2001:db8::1]:5080"),
        ([["setport", "5070"]], "sip:bob@127.0.0.1:5070"),
        ([["setport", 5070], ["setport", 0]], "sip:bob@127.0.0.1"),
        ([["seturi", "sip:a:pw@b:1;x=y?h=1"], ["setuser", "c"]], "sip:c:pw@b:1;x=y?h=1"),
        ([["seturi", "sip:a@b;lr"], ["sethost", "c"], ["setport", 7]], "sip:a@c:7;lr"),
        ([["seturi", "sips:a@b"], ["setuser", "$rm"]], "sips:MESSAGE@b"),
        (
            [["=", "$rU", "dave"], ["=", "$rd", "d.example"], ["=", "$rp", "99"]],
            "sip:dave@d.example:99",
        ),
        ([["=", "$ru", "sip:x@y"]], "sip:x@y"),
    ],
)
def test_parts_of_the_ruri(at: Programs, steps: list[list[object]], expected: str) -> None:
    at.send("MESSAGE", [*steps, ["=", "$ru"], ["drop"]], uri="sip:bob@127.0.0.1")
    assert at.results()[0][-2] == expected


@pytest.mark.parametrize(
    "step",
    [
        ["seturi", "nonsense"],
        ["seturi", ""],
        ["seturi", "sip:a@b\r\nX: 1"],
        ["setuser", "a b"],
        ["sethost", ""],
        ["sethost", "a\r\nb"],
        ["setport", "x"],
        ["setport", 65536],
        ["setport", -1],
        ["setdsturi", "nonsense"],
        ["setdsturi", "sip:a\r\n"],
        ["append_branch", "nonsense"],
        ["append_branch", "sip:a@b\r\nX: 1"],
        ["forward", "a b"],
        ["mf_process_maxfwd_header", -1],
        ["mf_process_maxfwd_header", "x"],
        ["xlog", "L_LOUD", "text"],
        ["t_on_failure", "x" * 64],
        ["append_to_reply", "no colon"],
        ["send_reply", 99],
        ["send_reply", 200, "a\r\nb"],
        ["setflag"],
        ["t_cancel_branch"],
        ["t_check_status", "486"],
        ["is_method", 3],
        ["xlog", "$nothing"],
    ],
)
def test_bad_arguments_change_nothing(at: Programs, step: list[object]) -> None:
    error, ruri, dst = at.run(step, ["=", "$ru"], ["=", "$du"])
    assert "Error: " in error
    assert (ruri, dst) == (f"sip:bob@{at.callee.sent_by}", "<null>")


def test_a_tel_uri_has_no_parts(at: Programs) -> None:
    at.send("MESSAGE", [["sethost", "x"], ["setuser", "x"], ["=", "$ru"], ["drop"]], uri="tel:+123")
    assert at.results() == [["Request", -1, -1, "tel:+123", 1]]


def test_dst_uri(at: Programs) -> None:
    target = at.callee.uri
    at.send("MESSAGE", [["setdsturi", target], ["=", "$du"]], uri="sip:far@host.invalid")
    there = at.callee.receive()
    assert there.start == "MESSAGE sip:far@host.invalid SIP/2.0"
    at.callee.answer(there, 200)
    assert at.caller.receive().code == 200
    assert at.results()[0] == ["Request", 1, target]
    assert at.run(["setdsturi", target], ["resetdsturi"], ["=", "$du"]) == [1, 1, "<null>"]


@pytest.mark.parametrize("form", ["sip:{}", "{}"])
def test_forward_to(at: Programs, form: str) -> None:
    at.send("MESSAGE", [["forward", form.format(at.callee.sent_by)]], uri="sip:far@host.invalid")
    there = at.callee.receive()
    assert there.start == "MESSAGE sip:far@host.invalid SIP/2.0"
    at.callee.answer(there, 200)
    assert at.caller.receive().code == 200


# ---- branches ----


def test_parallel_branches(at: Programs) -> None:
    with Peer() as second:
        steps = [
            ["append_branch", f"sip:second@{second.sent_by}"],
            ["setuser", "main"],
            ["append_branch"],
            ["t_relay"],
            ["=", "$rc"],
        ]
        branch = [["=", "$ru"], ["=", "$T_branch_idx"], ["append_hf", "X-Branch-Is: $T_branch_idx"]]
        at.send("INVITE", steps, f"X-Branch: {json.dumps(branch)}")
        one, two = at.callee.receive(), second.receive()
        assert one.start.split()[1] == f"sip:main@{at.callee.sent_by}"
        assert two.start.split()[1] == f"sip:second@{second.sent_by}"
        assert [one.all("X-Branch-Is"), two.all("X-Branch-Is")] == [["0"], ["1"]]
        assert one["Via"] != two["Via"]
        at.callee.answer(one, 180)
        second.answer(two, 180)
        assert [at.caller.receive().code for _ in range(3)] == [100, 180, 180]
        second.answer(two, 200)
        assert at.caller.receive().code == 200
        cancel = at.callee.receive()
        assert cancel.start.startswith("CANCEL")
        at.callee.answer(cancel, 200)
        at.callee.answer(one, 487)
        assert at.callee.receive().start.startswith("ACK")
        assert at.results() == [
            ["Branch", f"sip:main@{at.callee.sent_by}", "0", 1],
            ["Branch", f"sip:second@{second.sent_by}", "1", 1],
            ["Request", 1, 1, 1, 1, "1"],
        ]


def test_edits_of_all_routes_add_up(at: Programs) -> None:
    branch = json.dumps([["append_hf", "X-Of-Branch: 1"], ["setuser", "branch"]])
    there = at.relayed(
        ["append_hf", "X-Of-Request: 1"], ["setuser", "request"], rows=(f"X-Branch: {branch}",)
    )
    assert there.start.split()[1] == f"sip:branch@{at.callee.sent_by}"
    assert (there["X-Of-Request"], there["X-Of-Branch"]) == ("1", "1")


def test_edits_survive_a_branch_route_without_any(at: Programs) -> None:
    """The branch route is another call of the rank after the request route has returned."""
    there = at.relayed(
        ["append_hf", "X-Of-Request: 1"], ["setuser", "request"], rows=('X-Branch: [["=", "$ru"]]',)
    )
    assert there.start.split()[1] == f"sip:request@{at.callee.sent_by}"
    assert there["X-Of-Request"] == "1"
    assert at.results()[1] == ["Branch", f"sip:request@{at.callee.sent_by}"]


def test_serial_branches(at: Programs) -> None:
    with Peer() as second:
        failure = [
            ["t_check_status", "486|408"],
            ["t_check_status", "^4[0-7]"],
            ["=", "$T_reply_code"],
            ["append_branch", f"sip:second@{second.sent_by}"],
            ["t_relay"],
        ]
        at.send("INVITE", [["t_on_failure", "failure"]], f"X-Failure: {json.dumps(failure)}")
        at.callee.answer(at.callee.receive(), 486)
        assert at.callee.receive().start.startswith("ACK")
        there = second.receive()
        assert there.start.split()[1] == f"sip:second@{second.sent_by}"
        second.answer(there, 200)
        assert [at.caller.receive().code for _ in range(2)] == [100, 200]
        assert at.callee.silent(0.2)  # it was tried before
        assert at.of("Failure") == [[1, -1, "486", 1, 1]]


def test_too_many_branches(at: Programs) -> None:
    found = at.run(*[["append_branch", f"sip:{number}@127.0.0.1"] for number in range(17)])
    assert found == [1] * 16 + [-1]
    found = at.run(*[["append_branch", f"sip:{'x' * 500}@127.0.0.1"] for _ in range(5)])
    assert found == [1] * 3 + [-1] * 2


@pytest.mark.parametrize(("flags", "cancelled"), [([], "own"), (["a"], "both"), (["o"], "other")])
def test_t_cancel_branch(at: Programs, flags: list[str], cancelled: str) -> None:
    with Peer() as second:
        steps = [["append_branch", f"sip:second@{second.sent_by}"], ["t_relay"]]
        at.send("INVITE", steps)
        one, two = at.callee.receive(), second.receive()
        second.answer(two, 180)
        assert [at.caller.receive().code for _ in range(2)] == [100, 180]
        at.callee.answer(
            one, 183, "Answer", f"X-Reply: {json.dumps([['t_cancel_branch', *flags]])}"
        )
        assert at.caller.receive().code == 183
        for peer, invite, wanted in (
            (at.callee, one, cancelled in ("own", "both")),
            (second, two, cancelled in ("other", "both")),
        ):
            if wanted:
                cancel = peer.receive()
                assert cancel.start.startswith("CANCEL")
                peer.answer(cancel, 200)
            else:
                assert peer.silent(0.2)
            peer.answer(invite, 487)
            assert peer.receive().start.startswith("ACK")
        reply = at.caller.receive()
        assert reply.code == 487
        at.acknowledge(reply)


def test_t_check_trans(at: Programs) -> None:
    assert at.run(["t_check_trans"], ["t_newtran"], ["t_check_trans"]) == [-1, 1, 1]


# ---- logs and variables in arguments ----


def test_xlog(at: Programs) -> None:
    assert (
        at.run(
            ["xlog", "$rm to $ru\n"], ["xlog", "L_DBG", "never"], ["xlog", "L_WARN", "5$ for $$x"]
        )
        == [1] * 3
    )


def test_reason_and_rows_of_a_reply(at: Programs) -> None:
    at.send("MESSAGE", [["append_to_reply", "X-For: $fU"], ["send_reply", "404", "No $rU Here"]])
    reply = at.caller.receive()
    assert reply.start == "SIP/2.0 404 No bob Here"
    assert reply["X-For"] == "alice"


def test_texts_that_grow_too_long(at: Programs) -> None:
    (error,) = at.run(["xlog", "$hdr(X-Long)" * 5], rows=(f"X-Long: {'x' * 1000}",))
    assert (
        error == "RuntimeError: the texts with their pseudo-variables are longer than 4096 octets"
    )
