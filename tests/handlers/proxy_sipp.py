"""Routes of the calls that sipp makes: the user of the R-URI says what is to happen."""

import hashlib
import re

REALM = "isoexec.test"
NONCE = "5ccc069c403ebaf9f0171e9517f40e41"
USERS = {"caller": "open-sesame"}


def md5(*parts):
    return hashlib.md5(":".join(parts).encode()).hexdigest()


def known(msg):
    """Whether the request says the password of its user (RFC 2617, no qop)."""
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', msg.getHeader("Proxy-Authorization") or ""))
    if given.get("nonce") != NONCE or given.get("username") not in USERS:
        return False
    first = md5(given["username"], REALM, USERS[given["username"]])
    return given.get("response") == md5(first, NONCE, md5(msg.Method, given["uri"]))


class Handler:
    def child_init(self, rank):
        return 0

    def route(self, msg):
        if msg.call_function("has_totag") > 0 or msg.Method in ("ACK", "CANCEL"):
            return 1  # along its Route
        user = msg.RURI.partition(":")[2].partition("@")[0]
        if user == "auth" and not known(msg):
            challenge = f'Digest realm="{REALM}", nonce="{NONCE}", algorithm=MD5'
            msg.call_function("append_to_reply", f"Proxy-Authenticate: {challenge}")
            msg.call_function("sl_send_reply", "407", "Proxy Authentication Required")
            return 0
        msg.call_function("record_route")
        msg.rewrite_ruri(msg.getHeader("X-Target"))
        if user == "failover":
            msg.call_function("t_on_failure", "failover")
        elif user == "fork":
            msg.call_function("append_branch", msg.getHeader("X-Second"))
        msg.call_function("t_relay")
        return 0

    def failover(self, msg):
        msg.rewrite_ruri(msg.getHeader("X-Second"))
        msg.call_function("t_relay")
        return 1


def mod_init():
    return Handler()
