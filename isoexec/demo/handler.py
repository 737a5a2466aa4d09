"""The handler of ``isoexec demo``: least-cost routing, as a script for OpenSIPS would do it."""

import re

from OpenSIPS import LM_ERR

CARRIERS = {
    "44": ("london", "198.51.100.12", 2),
    "4490": None,  # premium rate: not for us
    "1212": ("new-york", "198.51.100.31", 1),
    "1": ("america", "198.51.100.30", 3),
    "33": ("paris", "203.0.113.80", 2),
}
"""By dialled prefix: (name, address, cents a minute), or None for refused."""

NUMBER = re.compile(r"^sips?:\+(\d+)@", re.IGNORECASE)
USER = re.compile(r"<?sips?:([^@>;]+)@")
LONGEST = max(map(len, CARRIERS))


class Router:
    """One object in each rank; it may keep connections and counters."""

    def child_init(self, rank):
        self.rank = rank
        self.refused = 0
        return 0

    def route(self, msg):
        """Above 0: go on. 0: the script ends, the message is done with. Below 0: refused."""
        if msg.Type != "SIP_REQUEST":
            return self.reply(msg)
        if msg.Method in ("ACK", "BYE", "CANCEL"):
            return 1
        if msg.Method == "REGISTER":
            expires = int(msg.getHeader("Expires") or 3600)
            return 2 if expires else 3
        if msg.Method == "OPTIONS":
            return 0
        dialled = NUMBER.match(msg.RURI)
        if dialled is None:
            return 1
        return self.to_carrier(msg, dialled.group(1))

    def to_carrier(self, msg, digits):
        prefixes = (digits[:n] for n in range(LONGEST, 0, -1))
        found = next((prefix for prefix in prefixes if prefix in CARRIERS), None)
        carrier = CARRIERS.get(found)
        if carrier is None:
            self.refused += 1
            return -1
        name, address, cents = carrier
        caller = USER.search(msg.getHeader("From") or "")
        msg.rewrite_ruri(f"sip:+{digits}@{address};user=phone")
        msg.set_dst_uri(f"sip:{address}:5060")
        msg.append_header("X-Carrier", f"{name};rate={cents}")
        msg.append_header("X-Account", caller.group(1) if caller else "none")
        msg.remove_header("User-Agent")
        return 1

    def reply(self, msg):
        status = int(msg.Status)
        if status >= 500:
            msg.replace_header("Retry-After", "5")
            return -1
        return 1


def mod_init():
    if not CARRIERS:
        LM_ERR("there are no carriers")
    return Router()
