"""A first handler script.

    isoexec exec examples/handler_basic.py route invite.sip
    isoexec check examples/handler_basic.py

It runs unchanged in the python module of OpenSIPS.
"""

from OpenSIPS import LM_ERR


class Handler:
    """Its methods are what the host calls, one object in each rank."""

    def child_init(self, rank):
        """Runs once in each rank, before the first call; below 0 stops the start."""
        self.rank = rank
        self.calls = 0
        return 0

    def route(self, msg, extra=None):
        """Sends requests for example.org to a server of ours; replies pass.

        The result goes to the host: above 0 true, below 0 false, 0 ends the host's script.
        """
        self.calls += 1
        if msg.Type != "SIP_REQUEST":
            return 1
        if msg.getHeader("Call-ID") is None:
            LM_ERR(f"rank {self.rank}: a {msg.Method} without Call-ID")
            return -1
        if "@example.org" in msg.RURI:
            user = msg.RURI.partition(":")[2].partition("@")[0]
            msg.rewrite_ruri(f"sip:{user}@192.0.2.80")
            msg.set_dst_uri("sip:192.0.2.80:5060")
            msg.call_function("append_hf", f"X-Rank: {self.rank}\r\n")
        return 1


def mod_init():
    """Runs once in each rank and returns the object whose methods are called."""
    return Handler()
