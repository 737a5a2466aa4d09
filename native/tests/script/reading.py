"""What a script reads of a message, in its call and after it."""

import gc
import sys

import OpenSIPS
import probe
from driving import call
from messages import INVITE, OTHER, REPLY, raises


def check_request():
    def read(msg):
        return (
            msg.Type,
            msg.Method,
            msg.RURI,
            msg.src_address,
            msg.dst_address,
            msg.route,
            msg.raw,
            msg.body,
            msg.new_uri,
            msg.dst_uri,
            msg.edits,
        )

    assert call(read) == (
        "SIP_REQUEST",
        "INVITE",
        "sip:bob@example.org",
        ("192.0.2.1", 5060),
        ("2001:DB8:0:0:0:0:0:1", 5061),
        "request",
        INVITE,
        b"body",
        None,
        None,
        (),
    )
    assert call(lambda msg: msg.Method is sys.intern("INVITE"))
    assert call(lambda msg: msg.Method, INVITE.replace(b"INVITE", b"FROB", 1)) == "FROB"
    assert (
        call(lambda msg: (msg.RURI, msg.RURI), INVITE.replace(b"bob", b"b\xff"))
        == ("sip:b\udcff@example.org",) * 2
    )
    assert call(lambda msg: raises(RuntimeError, "", lambda: msg.Status)) == (
        "Not a non-reply message - no status available."
    )
    call(lambda msg: raises(RuntimeError, "no reason", lambda: msg.Reason))
    assert (
        call(lambda msg: msg.body, INVITE.replace(b"Content-Length: 4", b"Content-Length: 5"))
        is None
    )
    assert type(call(repr)) is str


def check_reply():
    def read(msg):
        return msg.Type, msg.Status, msg.Reason, msg.getHeader("t"), msg.body

    assert call(read, REPLY) == ("SIP_REPLY", "486", "Busy Here", "<sip:b@example.org>", b"")

    def refused(msg):
        return [
            raises(RuntimeError, "", lambda: msg.Method),
            raises(RuntimeError, "", lambda: msg.RURI),
            raises(RuntimeError, "", msg.rewrite_ruri, 1),
            raises(RuntimeError, "", msg.set_dst_uri, 1),
        ]

    assert call(refused, REPLY) == [
        "Not a request message - no method available.",
        "Not a request message - RURI is not available.",
        "Not a request message - rewrite is not possible.\n",
        "Not a request message - set destination is not possible.\n",
    ]
    assert call(lambda msg: (msg.append_header("A", "b"), msg.edits)[1], REPLY) == (
        ("append_header", "A", "b"),
    )


def check_headers():
    def read(msg):
        return [
            msg.getHeader(name)
            for name in ("From", "F", "f", "fROM", "Missing", "Empty", "X-Fold", "")
        ]

    sender = '"Ann, A" <sip:ann@example.com>;tag=1'
    assert call(read) == [sender] * 4 + [None, "", "one two", None]
    assert (
        call(lambda msg: msg.getHeader("X-Octets").encode("utf-8", "surrogateescape"))
        == b"\xff\xe4"
    )
    assert call(lambda msg: msg.headers("k")) == ["replaces", "100rel", "timer"]
    assert call(lambda msg: msg.header_rows("Supported")) == ["replaces, 100rel", "timer"]
    assert call(lambda msg: msg.headers("v")) == [
        "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1",
        "SIP/2.0/UDP 192.0.2.11",
    ]
    assert call(lambda msg: msg.headers("Subject")) == ["a, b"]
    assert call(lambda msg: msg.headers("From")) == [sender]
    assert call(lambda msg: msg.headers("Missing") + msg.headers("") + msg.header_rows("")) == []
    assert call(lambda msg: msg.header_names()) == [
        "Via",
        "f",
        "Subject",
        "Supported",
        "Empty",
        "Supported",
        "X-Fold",
        "X-Octets",
        "Content-Length",
    ]
    many = INVITE.replace(b"Empty:\r\n", b"".join(b"X-%d: %d\r\n" % (k, k) for k in range(500)))
    assert call(lambda msg: [msg.getHeader(f"X-{k}") for k in range(500)], many) == [
        str(k) for k in range(500)
    ]

    def refuse(name):
        call(
            lambda msg: raises(
                TypeError,
                f"{name}(): the name of a header must be str, not int",
                getattr(msg, name),
                1,
            )
        )
        call(lambda msg: raises(UnicodeEncodeError, "", getattr(msg, name), "\ud800"))

    for each in ("getHeader", "headers", "header_rows"):
        refuse(each)
    bad = INVITE.replace(b"Empty:", b"Empty")
    assert probe.drive(
        lambda msg: (msg.Method, raises(RuntimeError, "not a valid", msg.getHeader, "To")), bad
    )
    raises(ValueError, "not SIP", probe.drive, repr, b"\0\1\2")


def check_object():
    def attributes(msg):
        for name in ("Type", "Method", "RURI", "Status", "route", "raw", "New"):
            raises(AttributeError, "", setattr, msg, name, "x")
            raises(AttributeError, "", delattr, msg, name)
        raises(TypeError, "", setattr, type(msg), "New", "x")
        raises(TypeError, "", type(msg))
        assert isinstance(msg, OpenSIPS.SIPMsg) and type(msg) is OpenSIPS.SIPRequest
        assert not hasattr(msg, "__dict__") and not gc.is_tracked(msg)

    call(attributes)
    raises(TypeError, "acceptable base", type, "Sub", (OpenSIPS.SIPMsg,), {})
    raises(TypeError, "acceptable base", type, "Sub", (OpenSIPS.SIPReply,), {})
    assert call(repr) == "<SIPRequest INVITE sip:bob@example.org from 192.0.2.1:5060>"
    assert call(repr, REPLY) == "<SIPReply 486 Busy Here from 192.0.2.1:5060>"
    assert (
        call(repr, INVITE.replace(b"bob", b"\xff"))
        == "<SIPRequest INVITE sip:\\xff@example.org from 192.0.2.1:5060>"
    )
    assert call(id) == call(id)


def check_kept():
    kept = []

    def keep(msg):
        msg.rewrite_ruri("sip:new@example.org")
        kept.append((msg, msg.getHeader, msg.RURI))

    def read_and_keep(msg):
        msg.getHeader("To")
        keep(msg)

    for method in (keep, read_and_keep):
        for indexed in (False, True):
            probe.drive(method, INVITE, indexed)
    for _ in range(1000):
        probe.drive(lambda msg: msg.getHeader("From"), OTHER)
    for msg, get, uri in kept:
        assert (msg.Method, msg.RURI, uri) == (
            "INVITE",
            "sip:bob@example.org",
            "sip:bob@example.org",
        )
        assert msg.raw == INVITE and msg.body == b"body" and msg.src_address == ("192.0.2.1", 5060)
        assert (
            get("Subject") == "a, b"
            and msg.headers("k")[2] == "timer"
            and msg.new_uri == "sip:new@example.org"
        )
        assert msg.edits == (("set_ruri", None, "sip:new@example.org"),)
        for do, args in (
            (msg.rewrite_ruri, ("sip:x",)),
            (msg.set_dst_uri, ("",)),
            (msg.append_header, ("A", "b")),
            (msg.remove_header, ("A",)),
            (msg.set_body, ("",)),
            (msg.call_function, ("xlog", "x")),
        ):
            raises(RuntimeError, "the message has left", do, *args)
        copy = msg.copy()
        assert copy.raw == INVITE and copy.edits == msg.edits
        copy.append_header("A", "b")
        assert len(copy.edits) == 2 and len(msg.edits) == 1
        raises(RuntimeError, "the message has left", copy.call_function, "xlog", "x")
        raises(RuntimeError, "the message has left", copy.copy().call_function, "append_hf", "A: b")
    assert len({id(msg) for msg, _, _ in kept}) == 4


def check_copy():
    copies = []

    def copy(msg):
        msg.append_header("A", "b")
        early = msg.copy()
        late = early.copy()
        msg.append_header("C", "d")
        late.rewrite_ruri("sip:late@example.org")
        assert (len(msg.edits), len(early.edits), len(late.edits)) == (2, 1, 2)
        assert (
            late.call_function("append_hf", "E: f\r\n") == 1
            and late.call_function("setflag", 3) == 1
        )
        assert (len(msg.edits), len(late.edits)) == (3, 2) and msg.new_uri is None
        copies.extend((early, late, msg.copy()))

    call(copy)
    call(copy, OTHER)
    call(lambda msg: msg.copy().getHeader("f"))
    for k, msg in enumerate(copies):
        assert (
            msg.raw == (INVITE, OTHER)[k // 6] and msg.getHeader("From") and msg.Method == "INVITE"
        )
        assert msg.RURI.startswith("sip:bob" if k < 6 else "sip:mallory") and msg.RURI == msg.RURI
        raises(RuntimeError, "the message has left", msg.call_function, "setflag", 3)
        msg.rewrite_ruri("sip:own@example.org")
        assert msg.new_uri == "sip:own@example.org"
    probe.log()


def check_raised():
    kept = []

    def fail(msg):
        msg.rewrite_ruri("sip:x@y")
        kept.append(msg)
        raise LookupError("gone")

    raises(LookupError, "gone", probe.drive, fail, INVITE)
    assert kept[0].getHeader("Subject") == "a, b" and probe.edit_count() == 0


def check_nested():
    seen = []

    def inner(msg):
        seen.append((msg.RURI, msg.edits, msg))
        seen.append(msg.copy())
        msg.append_header("In", "1")

    def outer(msg):
        msg.rewrite_ruri("sip:o@example.org")
        assert msg.call_function("nested") == 5
        assert [kind for kind, _, _ in msg.edits] == [
            "set_ruri",
            "append_header",
        ] and msg.Method == "INVITE"
        raises(RuntimeError, "the message has left", seen[-1].call_function, "setflag", 1)
        return msg.RURI

    assert probe.drive(outer, INVITE, False, inner) == "sip:bob@example.org"
    assert seen[0][1] == (("set_ruri", None, "sip:o@example.org"),) and seen[0][2].raw == INVITE
    raises(
        RuntimeError,
        "nested call raised",
        probe.drive,
        lambda msg: msg.call_function("nested"),
        INVITE,
        False,
        len,
    )
    probe.log()


def check_constructor():
    msg = OpenSIPS.SIPMsg(
        bytearray(INVITE),
        source=("2001:db8::1", 5060),
        destination=("192.0.2.9", 0),
        route="failure",
    )
    assert type(msg) is OpenSIPS.SIPRequest and msg.raw == INVITE and msg.route == "failure"
    assert (msg.src_address, msg.dst_address) == (("2001:DB8:0:0:0:0:0:1", 5060), ("192.0.2.9", 0))
    assert repr(msg) == "<SIPRequest INVITE sip:bob@example.org from [2001:DB8:0:0:0:0:0:1]:5060>"
    msg.rewrite_ruri("sip:x@y")
    assert msg.call_function("append_hf", "A: b\r\n") == 1 and len(msg.edits) == 2
    raises(RuntimeError, "made by the script", msg.call_function, "xlog", "x")
    copy = msg.copy()
    assert copy.call_function("append_hf", "C: d") == 1 and (len(copy.edits), len(msg.edits)) == (
        3,
        2,
    )
    reply = OpenSIPS.SIPReply(REPLY)
    assert (reply.route, reply.src_address, repr(reply)) == (
        "onreply",
        ("", 0),
        "<SIPReply 486 Busy Here>",
    )
    make = OpenSIPS.SIPMsg
    raises(TypeError, "", make)
    raises(TypeError, "", make, "text")
    raises(ValueError, "SIPRequest(): the message is a reply", OpenSIPS.SIPRequest, REPLY)
    raises(ValueError, "SIPReply(): the message is a request", OpenSIPS.SIPReply, INVITE)
    for bad in (b"", b"\0", b"GET / HTTP/1.1\r\n\r\n", INVITE.replace(b"Empty:", b"Empty")):
        raises(ValueError, "SIPMsg(): not a valid SIP message", make, bad)
    for bad in (1, "192.0.2.1", ("192.0.2.1",), ("192.0.2.1", "5060"), (1, 5060)):
        raises(TypeError, "source must be an (ip, port) tuple", make, INVITE, source=bad)
    for bad in (
        ("x", 1),
        ("192.0.2.1", -1),
        ("192.0.2.1", 65536),
        ("192.0.2.1", 2**99),
        ("\udcff", 1),
    ):
        raises(ValueError, "destination must be an IP address", make, INVITE, destination=bad)
    for bad in (1, "", "unknown", "Request"):
        raises(ValueError, "route must be", make, INVITE, route=bad)
