"""What users of the peers asked for: folds, compact names, lists, edits that can not inject."""

from typing import Any

import pytest

from isoexec import SIPMsg
from support.messages import OK, request


@pytest.mark.parametrize("fold", ["\r\n ", "\r\n\t", "\r\n   \t ", " \r\n "])
def test_a_fold_is_one_space(fold: str) -> None:
    value = fold.join(["Digest realm=x,", "nonce=y,", "qop=auth"])
    message = SIPMsg(request(f"X-Folded: {value}", "X-Next: 1"))
    assert " ".join(message.getHeader("X-Folded").split()) == "Digest realm=x, nonce=y, qop=auth"
    assert "\r" not in message.getHeader("X-Folded")
    assert message.getHeader("X-Next") == "1"


COMPACT = [
    ("m", "Contact"),
    ("k", "Supported"),
    ("s", "Subject"),
    ("x", "Session-Expires"),
    ("o", "Event"),
]


@pytest.mark.parametrize(("compact", "name"), COMPACT)
def test_compact_names_are_aliases_both_ways(compact: str, name: str) -> None:
    for sent in (compact, compact.upper(), name, name.upper()):
        message = SIPMsg(request(f"{sent}: value"))
        for asked in (compact, compact.upper(), name, name.lower()):
            assert message.getHeader(asked) == "value", (sent, asked)


def test_lists_are_split_outside_quotes_and_angles() -> None:
    message = SIPMsg(
        request(
            "Record-Route: <sip:p2.example.net;lr>, <sip:p1,a.example.net;lr>",
            "record-route:<sip:p0.example.net;lr>",
            'Contact: "a, b" <sip:a@example.com>, <sip:b@example.com>',
            "Subject: one, two",
        )
    )
    assert message.headers("Record-Route") == [
        "<sip:p2.example.net;lr>",
        "<sip:p1,a.example.net;lr>",
        "<sip:p0.example.net;lr>",
    ]
    assert message.headers("Record-Route")[-1] == "<sip:p0.example.net;lr>"
    assert message.headers("m") == ['"a, b" <sip:a@example.com>', "<sip:b@example.com>"]
    assert message.headers("Subject") == ["one, two"]
    assert message.headers("X-Absent") == []


def test_wrong_kind_raises_at_once() -> None:
    with pytest.raises(RuntimeError, match="status"):
        _ = SIPMsg(request()).Status
    for name in ("Method", "RURI"):
        with pytest.raises(RuntimeError, match="request"):
            getattr(SIPMsg(OK), name)
    with pytest.raises(RuntimeError):
        SIPMsg(OK).rewrite_ruri("sip:x@example.net")


INJECTIONS: list[tuple[str, tuple[Any, ...]]] = [
    ("rewrite_ruri", ("sip:x@example.net\r\nX: y",)),
    ("rewrite_ruri", ("sip:x @example.net",)),
    ("rewrite_ruri", ("sip:x\0@example.net",)),
    ("set_dst_uri", ("sip:x\n",)),
    ("set_dst_uri", ("sip:x\0",)),
    ("append_header", ("X", "a\r\nY: b")),
    ("append_header", ("X", "a\r\n b")),
    ("append_header", ("X\r\nY", "a")),
    ("append_header", ("X Y", "a")),
    ("append_header", ("", "a")),
    ("append_header", ("X:", "a")),
    ("insert_header", ("X", "a\nb")),
    ("replace_header", ("X", "a\rb")),
    ("remove_header", ("X\r\n",)),
]


@pytest.mark.parametrize(("method", "arguments"), INJECTIONS)
def test_edits_can_not_inject(method: str, arguments: tuple[Any, ...]) -> None:
    message = SIPMsg(request())
    with pytest.raises(ValueError):
        getattr(message, method)(*arguments)
    assert message.new_uri is None
    assert message.dst_uri is None


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("getHeader", ()), ("getHeader", (5,)), ("getHeader", (b"Via",)), ("rewrite_ruri", (None,))],
)
def test_wrong_arguments_name_the_method(method: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=method):
        getattr(SIPMsg(request()), method)(*arguments)


def test_an_object_that_can_not_be_changed_from_outside() -> None:
    message: Any = SIPMsg(request())
    for name in ("Method", "RURI", "NewName"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(message, name, "X")
    assert "INVITE" in repr(message)
