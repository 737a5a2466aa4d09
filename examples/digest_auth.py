"""Digest authentication (RFC 3261 22, RFC 7616, RFC 8760): MD5 and SHA-256, signed nonces.

    isoexec serve --listen udp:0.0.0.0:5060 examples/digest_auth.py

Passwords are nowhere: USERS holds H(user:realm:password), which `python examples/digest_auth.py
USER` prints. A nonce is good for a minute on every worker, since all of them sign with one key.
Nonce counts are not remembered, so within that minute a request that was overheard can be sent
again: put TLS in front if that matters.
"""

import hashlib
import hmac
import os
import time

REALM = "example.com"
LIFE = 60  # seconds
HASHES = {"SHA-256": "sha256", "MD5": "md5"}
USERS = {
    "alice": {
        "SHA-256": "ed8925b20f9a77b8f8f8d5f8e4467fe32b866f7208ab9e4b20595e9821a0fdee",
        "MD5": "b1726872c344b6dc8365b774f8fd6412",
    },
}


def digest(algorithm, text):
    return hashlib.new(HASHES[algorithm], text.encode()).hexdigest()


def read_key():
    """One key for all workers: ISOEXEC_DIGEST_KEY, else random octets in a file of the process."""
    if key := os.environ.get("ISOEXEC_DIGEST_KEY"):
        return key.encode()
    path = f"/dev/shm/isoexec-digest-{os.getuid()}-{os.getpid()}"
    own = f"{path}.{os.urandom(8).hex()}"
    with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(os.urandom(32))
    try:
        os.link(own, path)  # the first worker's stays
    except FileExistsError:
        pass
    os.unlink(own)
    with open(path, "rb") as file:
        return file.read()


def parameters(text):
    """Of a Digest header: values may be quoted, and hold commas then."""
    found, rest = {}, text
    while rest.strip(" ,"):
        name, _, rest = rest.strip(" ,").partition("=")
        if rest.startswith('"'):
            value, at = "", 1
            while at < len(rest) and rest[at] != '"':
                at += rest[at] == "\\"
                value += rest[at : at + 1]
                at += 1
            rest = rest[at + 1 :]
        else:
            value, _, rest = rest.partition(",")
        found[name.strip().lower()] = value.strip()
    return found


class DigestAuth:
    def __init__(self, key):
        self.key = key

    def child_init(self, rank):
        return 0

    def nonce(self, stamp):
        signature = hmac.new(self.key, str(stamp).encode(), "sha256").hexdigest()[:32]
        return f"{stamp:x}.{signature}"

    def is_ours(self, nonce):
        stamp, _, _ = nonce.partition(".")
        try:
            return hmac.compare_digest(nonce, self.nonce(int(stamp, 16)))
        except ValueError:
            return False

    def challenge(self, msg, stale=False):
        registers = msg.Method == "REGISTER"
        name = "WWW-Authenticate" if registers else "Proxy-Authenticate"
        nonce = self.nonce(int(time.time()))
        for algorithm in HASHES:  # the best first (RFC 8760 2.4)
            row = f'{name}: Digest realm="{REALM}", nonce="{nonce}", algorithm={algorithm}'
            more = ', qop="auth", stale=true' if stale else ', qop="auth"'
            msg.call_function("append_to_reply", row + more)
        msg.call_function("send_reply", 401 if registers else 407)

    def check(self, msg):
        """The user whose request it is; None: it was answered."""
        name = "Authorization" if msg.Method == "REGISTER" else "Proxy-Authorization"
        for value in msg.header_rows(name):
            scheme, _, rest = value.partition(" ")
            given = parameters(rest)
            if scheme.lower() == "digest" and given.get("realm") == REALM:
                return self.verify(msg, given)
        self.challenge(msg)
        return None

    def verify(self, msg, given):
        user, nonce, algorithm = (
            given.get("username", ""),
            given.get("nonce", ""),
            given.get("algorithm", "MD5"),
        )
        secret = USERS.get(user, {}).get(algorithm.upper())
        if not self.is_ours(nonce) or given.get("qop") != "auth" or not given.get("cnonce"):
            self.challenge(msg)
            return None
        if secret is None or given.get("uri") != msg.RURI:
            msg.call_function("send_reply", 403, "Forbidden")
            return None
        algorithm = algorithm.upper()
        of_request = digest(algorithm, f"{msg.Method}:{given['uri']}")
        parts = (secret, nonce, given.get("nc", ""), given["cnonce"], "auth", of_request)
        if not hmac.compare_digest(
            digest(algorithm, ":".join(parts)), given.get("response", "").lower()
        ):
            msg.call_function("send_reply", 403, "Forbidden")
            return None
        if int(time.time()) - int(nonce.partition(".")[0], 16) > LIFE:
            self.challenge(msg, stale=True)  # the password was right: the phone need not ask for it
            return None
        return user

    def route(self, msg):
        if msg.Method in ("ACK", "CANCEL") or msg.call_function("has_totag") > 0:
            return 1  # an ACK can not be challenged, and a CANCEL belongs to its INVITE
        user = self.check(msg)
        if user is None:
            return 0
        msg.remove_header("Proxy-Authorization")  # it is for this proxy
        if msg.Method == "REGISTER":
            msg.call_function("send_reply", 200, f"Hello {user}")
            return 0
        msg.call_function("record_route")
        return 1


def mod_init():
    return DigestAuth(read_key())


if __name__ == "__main__":
    import getpass
    import sys

    password = getpass.getpass()
    for algorithm in HASHES:
        print(f'"{algorithm}": "{digest(algorithm, f"{sys.argv[1]}:{REALM}:{password}")}",')
