"""A dispatcher: spreads calls over servers, tries the next on failure, leaves out what failed.

    export ISOEXEC_SERVERS="sip:10.0.0.1 sip:10.0.0.2*3"
    isoexec serve --listen udp:0.0.0.0:5060 examples/dispatcher.py

`*3` gives a server three times the share. Each worker keeps its own list of servers that are down:
it learns by the first call that fails there.
"""

import os
import time

from OpenSIPS import LM_NOTICE

SERVERS = os.environ.get("ISOEXEC_SERVERS", "sip:127.0.0.1:5070 sip:127.0.0.1:5072")
DOWN_SECONDS = 30
FAILED = "408|50[0-9]"


def read_servers(text):
    """One entry for each share."""
    entries = []
    for word in text.split():
        uri, _, weight = word.partition("*")
        entries += [uri] * int(weight or 1)
    return entries


class Dispatcher:
    def __init__(self, entries):
        self.entries = entries
        self.next = 0
        self.down = {}  # URI -> when it is tried again

    def child_init(self, rank):
        self.next = rank  # so that workers do not all begin with the same
        return 0

    def order(self):
        """Each server once: the one whose turn it is first, those that are down last."""
        self.next += 1
        now, start = time.monotonic(), self.next % len(self.entries)
        turned = dict.fromkeys(self.entries[start:] + self.entries[:start])
        return sorted(turned, key=lambda uri: self.down.get(uri, 0) > now)

    def route(self, msg):
        if msg.call_function("has_totag") > 0 or msg.call_function("loose_route") > 0:
            return 1
        msg.call_function("record_route")
        return self.send_to(msg, self.order())

    def send_to(self, msg, servers):
        msg.set_dst_uri(servers[0])
        msg.set_pseudoVar("$avp(servers)", " ".join(servers))
        msg.call_function("t_on_failure", "failed")
        msg.call_function("t_relay")
        return 1

    def failed(self, msg):
        """Failure route: busy callees are no fault of a server."""
        if msg.call_function("t_check_status", FAILED) < 0:
            return 1
        server, *left = msg.get_pseudoVar("$avp(servers)").split()
        LM_NOTICE(f"{server} failed: left out for {DOWN_SECONDS} s")
        self.down[server] = time.monotonic() + DOWN_SECONDS
        if left:
            self.send_to(msg, left)
        return 1


def mod_init():
    return Dispatcher(read_servers(SERVERS))
