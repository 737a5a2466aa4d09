"""The checks of the main interpreter, where OpenSIPS has no host behind it."""

import io
import sys

import OpenSIPS
from messages import INVITE, raises


def check_log():
    kept, sys.stderr = sys.stderr, io.StringIO()
    try:
        OpenSIPS.LM_ERR("%s \xe4\udcff")
        OpenSIPS.LM_DBG("")
        assert sys.stderr.getvalue() == "ERR %s \xe4\udcff\nDBG \n"
        sys.stderr.close()
        raises(ValueError, "closed", OpenSIPS.LM_INFO, "x")
        sys.stderr = None
        OpenSIPS.LM_ALERT("nowhere")
    finally:
        sys.stderr = kept
    raises(TypeError, "LM_WARN(): the text must be str", OpenSIPS.LM_WARN, b"")


def check_functions():
    msg = OpenSIPS.SIPMsg(INVITE)
    assert msg.call_function("append_hf", "A: b\r\n") == 1
    assert msg.edits == (("append_header", "A", "b"),)
    raises(RuntimeError, "no such function: 'xlog'", msg.call_function, "xlog", "x")


check_log()
check_functions()
