"""Least-cost routing: gateways of the longest prefix, the cheapest first, the next on failure.

    isoexec serve --listen udp:0.0.0.0:5060 examples/least_cost.py

The table is lcr_rates.csv beside this file, or what ISOEXEC_RATES names. SIGHUP reads it again.
"""

import csv
import os
from pathlib import Path

RATES = os.environ.get("ISOEXEC_RATES", str(Path(__file__).with_name("lcr_rates.csv")))
TRY_NEXT = "408|5[0-9][0-9]"  # of the callee's own answers (486, 603, ...) none: they are final


def read_rates(path):
    """prefix -> gateways, the cheapest first."""
    rows = {}
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["prefix"], []).append((float(row["price"]), row["gateway"]))
    return {prefix: [gateway for _, gateway in sorted(found)] for prefix, found in rows.items()}


class LeastCost:
    def __init__(self, rates):
        self.rates = rates
        self.longest = max(map(len, rates), default=0)

    def child_init(self, rank):
        return 0

    def gateways(self, number):
        for length in range(min(self.longest, len(number)), 0, -1):
            if number[:length] in self.rates:
                return self.rates[number[:length]]
        return []

    def route(self, msg):
        if msg.call_function("has_totag") > 0 or msg.Method != "INVITE":
            return 1  # requests inside a call follow their routes
        number = (msg.get_pseudoVar("$rU") or "").lstrip("+")
        found = self.gateways(number)
        if not found:
            msg.call_function("send_reply", 404, "No Route to $rU")
            return 0
        msg.call_function("record_route")
        return self.send_to(msg, found)

    def send_to(self, msg, gateways):
        """The first gateway now; the others are kept with the transaction."""
        msg.set_dst_uri(gateways[0])
        msg.set_pseudoVar("$avp(gateways)", " ".join(gateways[1:]))
        if gateways[1:]:
            msg.call_function("t_on_failure", "next_gateway")
        msg.call_function("t_relay")
        return 1

    def next_gateway(self, msg):
        """Failure route."""
        left = msg.get_pseudoVar("$avp(gateways)").split()
        if left and msg.call_function("t_check_status", TRY_NEXT) > 0:
            self.send_to(msg, left)
        return 1


def mod_init():
    return LeastCost(read_rates(RATES))
