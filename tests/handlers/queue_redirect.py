"""The handler behind the UDP servers: each answer can be told from every other."""

import hashlib


class Redirect:
    def child_init(self, rank):
        self.rank = rank
        return 0

    def route(self, msg):
        digest = hashlib.sha256(msg.getHeader("Call-ID").encode()).hexdigest()
        msg.rewrite_ruri(f"sip:{digest}@rank{self.rank}.example.net")
        return 1


def mod_init():
    return Redirect()
