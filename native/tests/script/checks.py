"""The checks that test_script runs in each of its interpreters: SIPMsg and the OpenSIPS module."""

import sys

import changing
import OpenSIPS
import probe
import reading
from messages import INVITE, REPLY, raises


def check_log():
    for k, level in enumerate(("ALERT", "CRIT", "ERR", "WARN", "NOTICE", "INFO", "DBG")):
        log = getattr(OpenSIPS, "LM_" + level)
        assert log("%s \xe4\udcff") is None
        assert probe.log() == b"log%d %%s \xc3\xa4\xff;" % (-3, -2, -1, 1, 2, 3, 4)[k]
        raises(TypeError, f"LM_{level}(): the text must be str, not int", log, 1)
        raises(TypeError, "", log)
        raises(TypeError, "", log, "a", "b")
        raises(ValueError, "embedded null", log, "a\0b")
        raises(UnicodeEncodeError, "", log, "\ud800")
    assert probe.log() == b""


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


def check_leaks():
    def everything(msg):
        for name in ("Type", "RURI", "src_address", "route", "raw", "body", "new_uri", "edits"):
            getattr(msg, name)
        for name in ("Via", "X-Fold", "Missing"):
            msg.getHeader(name), msg.headers(name), msg.header_rows(name)
        repr(msg), msg.header_names()
        msg.rewrite_ruri("sip:a\xe4@b")
        msg.call_function("append_hf", "A: b\r\n")
        msg.call_function("remove_hf", "A")
        copy = msg.copy()
        copy.set_body(b"x", "\xe4")
        held[0] = (msg, copy)
        for bad in (
            (msg.rewrite_ruri, "\n"),
            (msg.call_function, "nope\xe4"),
            (msg.call_function, "setflag", "\xe4"),
            (msg.append_header, "\xe4", "b"),
            (lambda: msg.Status,),
            (OpenSIPS.SIPMsg, b"x"),
        ):
            try:
                bad[0](*bad[1:])
            except (ValueError, RuntimeError):
                pass

    def keep(msg):
        held[0] = msg.copy() if held[1] else msg

    held = [None, True]
    counted = (
        "INVITE",
        "SIP_REQUEST",
        OpenSIPS.SIPRequest,
        OpenSIPS.SIPReply,
        OpenSIPS.SIPMsg,
        OpenSIPS,
        None,
    )
    before = None
    for k in range(30000):
        probe.drive(everything, INVITE, k % 2 == 0)
        held[1] = k % 3 == 0
        probe.drive(keep, REPLY)
        probe.log()
        if k == 5000:
            before = resident(), [sys.getrefcount(each) for each in counted]
    after = resident(), [sys.getrefcount(each) for each in counted]
    assert all(abs(a - b) < 50 for a, b in zip(after[1], before[1], strict=True)), (before, after)
    assert after[0] - before[0] < 4000, (before, after)


def main():
    for module in (reading, changing):
        for name, check in vars(module).items():
            if name.startswith("check_"):
                check()
    check_log()
    check_leaks()


main()
