"""What a script changes, and the functions it calls."""

import probe
from driving import call
from messages import INVITE, raises


def check_uris():
    def edit(msg):
        seen = [
            msg.rewrite_ruri("sip:a@b"),
            msg.new_uri,
            msg.RURI,
            msg.set_dst_uri("sip:\udcff;lr"),
            msg.dst_uri,
        ]
        for bad in ("sip:a b", "sip:a\r\n", "sip:a\0", "sip:\x7f"):
            raises(ValueError, "rewrite_ruri(): ", msg.rewrite_ruri, bad)
        for bad in ("sip:a\n", "sip:a\0"):
            raises(ValueError, "set_dst_uri(): ", msg.set_dst_uri, bad)
        raises(
            TypeError, "rewrite_ruri(): the URI must be str, not NoneType", msg.rewrite_ruri, None
        )
        raises(TypeError, "set_dst_uri(): the URI must be str, not bytes", msg.set_dst_uri, b"")
        seen += [
            len(msg.edits),
            msg.rewrite_ruri(""),
            msg.new_uri,
            msg.set_dst_uri(""),
            msg.dst_uri,
            msg.edits,
        ]
        return seen

    assert call(edit) == [
        None,
        "sip:a@b",
        "sip:bob@example.org",
        None,
        "sip:\udcff;lr",
        2,
        None,
        None,
        None,
        None,
        (
            ("set_ruri", None, "sip:a@b"),
            ("set_dst_uri", None, "sip:\udcff;lr"),
            ("set_ruri", None, ""),
            ("set_dst_uri", None, ""),
        ),
    ]


def check_edits():
    def edit(msg):
        assert msg.append_header("X-A", "\xe4\udcff") is None
        msg.insert_header("X-B", "")
        msg.replace_header("f", "<sip:x@y>")
        msg.remove_header("Subject")
        msg.set_body(b"\xff")
        msg.set_body("\xe4", "text/plain")
        msg.set_body(memoryview(b"ab"), content_type="a/b")
        msg.set_body("", content_type=None)
        good = msg.edits
        for name in ("append_header", "insert_header", "replace_header"):
            do = getattr(msg, name)
            raises(TypeError, f"{name}() takes a name and a value, 1 given", do, "A")
            raises(TypeError, f"{name}(): the value must be str, not int", do, "A", 1)
            raises(TypeError, "the name of a header must be str", do, None, "b")
            for bad in (
                ("A b", ""),
                ("", ""),
                ("A:", ""),
                ("A", "b\r\nC: d"),
                ("A", "b\r\n c"),
                ("A", "\0"),
            ):
                raises(ValueError, f"{name}(): ", do, *bad)
        raises(ValueError, "remove_header(): ", msg.remove_header, "a b")
        raises(TypeError, "", msg.remove_header, 1)
        raises(TypeError, "the body must be bytes or str, not int", msg.set_body, 1)
        raises(TypeError, "content_type must be str", msg.set_body, "", 1)
        raises(TypeError, "takes the body", msg.set_body)
        raises(TypeError, "takes the body", msg.set_body, "", other="")
        raises(TypeError, "takes the body", msg.set_body, "", "", content_type="")
        raises(ValueError, "", msg.set_body, "", "a\nb")
        assert msg.edits == good
        return good

    assert call(edit) == (
        ("append_header", "X-A", "\xe4\udcff"),
        ("insert_header", "X-B", ""),
        ("replace_header", "f", "<sip:x@y>"),
        ("remove_header", "Subject", None),
        ("set_body", None, b"\xff"),
        ("set_body", "text/plain", b"\xc3\xa4"),
        ("set_body", "a/b", b"ab"),
        ("set_body", None, b""),
    )
    assert probe.edit_count() == 8


def check_call_function():
    def do(*args):
        result = probe.drive(lambda msg: msg.call_function(*args), INVITE)
        return result, probe.log()

    def refuse(kind, text, *args):
        probe.drive(lambda msg: raises(kind, text, msg.call_function, *args), INVITE)
        assert probe.log() == b""

    assert do("sl_send_reply", "200", "OK") == (2, b"run sl_send_reply;int 200;str OK;")
    assert do("sl_send_reply", 200, "\xe4\udcff") == (
        2,
        b"run sl_send_reply;int 200;str \xc3\xa4\xff;",
    )
    assert do("setflag", "-7")[1] == b"run setflag;int -7;"
    assert do("xlog", "a", None) == (2, b"run xlog;str a;none ;")
    assert do("xlog", "a") == (1, b"run xlog;str a;")
    assert do("any") == (0, b"run any;")
    assert do("any", *[None, 1, "x"] * 5, "y")[0] == 16
    assert do("either", 1, None, "x", 2)[1] == b"run either;int 1;none ;str x;int 2;"
    assert do("setflag", -(2**63))[1] == b"run setflag;int -9223372036854775808;"
    refuse(
        TypeError, "sl_send_reply(): parameter 2 must be str, not int", "sl_send_reply", 200, 200
    )
    refuse(TypeError, "setflag(): parameter 1 must be int, not bool", "setflag", True)
    refuse(TypeError, "setflag(): parameter 1 must be int, not float", "setflag", 1.0)
    refuse(TypeError, "xlog(): parameter 2 must be str or None, not bytes", "xlog", "a", b"")
    refuse(TypeError, "either(): parameter 1 must be str or int, not list", "either", [])
    refuse(RuntimeError, "xlog(): parameter 1: mandatory parameter omitted", "xlog", None, "text")
    refuse(RuntimeError, "xlog(): too few or too many parameters: 0 given, takes 1 to 2", "xlog")
    refuse(RuntimeError, "9 given, takes 1 to 2", "xlog", *["x"] * 9)
    refuse(
        RuntimeError,
        "sl_send_reply(): too few or too many parameters: 1 given, takes 2",
        "sl_send_reply",
        1,
    )
    for bad in ("five", "", "-", "1x", " 1", "9" * 30, "\u0665"):
        refuse(
            RuntimeError, "setflag(): parameter 1: parameter should be an integer", "setflag", bad
        )
    refuse(OverflowError, "setflag(): parameter 1 does not fit", "setflag", 2**63)
    refuse(ValueError, "xlog(): parameter 1: embedded null", "xlog", "a\0b")
    refuse(UnicodeEncodeError, "", "xlog", "\ud800")
    refuse(RuntimeError, "should have from 1 to 17 arguments")
    refuse(RuntimeError, "should have from 1 to 17 arguments", "any", *["x"] * 17)
    refuse(TypeError, "the name of the function must be str, not int", 1)
    refuse(
        RuntimeError,
        "no such function: 'send_reply'; did you mean 'sl_send_reply'?".rstrip("?"),
        "send_reply",
    )
    refuse(RuntimeError, "no such function: 'apend_hf'; did you mean 'append_hf'", "apend_hf")
    refuse(RuntimeError, "no such function: 'no_such_function_here'", "no_such_function_here")
    refuse(RuntimeError, "no such function: '\\udcff'", "\udcff")
    refuse(RuntimeError, "no such function", "x" * 100)
    raises(RuntimeError, "no route to \xe4", do, "fails", "\xe4")
    raises(RuntimeError, "fails(): the host's function failed", do, "fails")
    probe.log()


def check_provided():
    def edit(msg):
        function = msg.call_function
        seen = [
            function("append_hf", "X-1: a\r\nX-2:b\n"),
            function("append_hf", "X-3 : c", "Via"),
            function("insert_hf", "X-4: d\r\nX-5: e\r\nX-6:\r\n"),
        ]
        good = msg.edits
        for text in (
            "",
            "X",
            "\r\n",
            "X-7: a\r\n\r\n",
            "X-7: a\r\n b\r\n",
            "X-7: a\r\n\r\nX: b",
            "X-7: \0",
            "X y: a",
        ):
            for name in ("append_hf", "insert_hf"):
                raises(ValueError, "", function, name, text)
        assert msg.edits == good
        seen += [
            function("is_present_hf", name) for name in ("via", "FROM", "x-1", "X-7", "X-6", "")
        ]
        seen += [function("remove_hf", name) for name in ("x-1", "x-1", "From", "f", "None", "")]
        seen += [function("is_present_hf", name) for name in ("From", "X-1", "Content-Type")]
        msg.set_body("a", "text/plain")
        msg.replace_header("X-1", "again")
        seen += [function("is_present_hf", name) for name in ("x-1", "c", "l")]
        return seen, good

    assert call(edit) == (
        [1, 1, 1] + [1, 1, 1, -1, 1, -1] + [1, -1, 1, -1, -1, -1] + [-1, -1, -1] + [1, 1, 1],
        (
            ("append_header", "X-1", "a"),
            ("append_header", "X-2", "b"),
            ("append_header", "X-3", "c"),
            ("insert_header", "X-6", ""),
            ("insert_header", "X-5", "e"),
            ("insert_header", "X-4", "d"),
        ),
    )
