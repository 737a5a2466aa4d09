"""A registrar and location service (RFC 3261 10): REGISTER, and calls to where users are.

    isoexec serve --listen udp:0.0.0.0:5060 examples/registrar.py

Each worker has an interpreter of its own, so what they share lies outside: in an SQLite file in
memory (/dev/shm), which ISOEXEC_LOCATIONS can name. Real life needs digest_auth.py's check first.
"""

import os
import sqlite3
import time

LOCATIONS = os.environ.get("ISOEXEC_LOCATIONS", f"/dev/shm/isoexec-locations-{os.getuid()}")
DEFAULT_EXPIRES, MOST_EXPIRES, LEAST_EXPIRES = 3600, 86400, 60
MOST_CONTACTS = 10

TABLE = """
CREATE TABLE IF NOT EXISTS contacts (
    aor TEXT, uri TEXT, expires REAL, call_id TEXT, cseq INTEGER, PRIMARY KEY (aor, uri)
) WITHOUT ROWID
"""


def split_contact(value):
    """The URI of a Contact value, and its parameters."""
    if "<" in value:
        uri, _, rest = value.partition("<")[2].partition(">")
    else:
        uri, _, rest = value.partition(";")
        rest = ";" + rest
    pairs = (part.partition("=") for part in rest.split(";") if part.strip())
    return uri.strip(), {name.strip().lower(): value.strip() for name, _, value in pairs}


def literal(text):
    """For a host function: what comes from the network names no pseudo-variables."""
    return text.replace("$", "$$")


def seconds(text, default):
    return int(text) if text is not None and text.isdigit() else default


class Refused(Exception):
    """A status code, a reason, and perhaps a row."""


class Registrar:
    def child_init(self, rank):
        self.db = sqlite3.connect(LOCATIONS, timeout=1, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=OFF")
        self.db.execute(TABLE)
        return 0

    def child_exit(self, rank):
        self.db.close()

    def route(self, msg):
        if msg.Method == "REGISTER":
            try:
                self.register(msg)
            except Refused as refusal:
                code, reason, *rows = refusal.args
                for row in rows:
                    msg.call_function("append_to_reply", row)
                msg.call_function("send_reply", code, reason)
            return 0
        if msg.call_function("has_totag") > 0 or msg.call_function("loose_route") > 0:
            return 1
        return self.locate(msg)

    # ---- where a user is

    def contacts(self, aor):
        rows = self.db.execute(
            "SELECT uri, expires FROM contacts WHERE aor = ? AND expires > ? ORDER BY expires DESC",
            (aor, time.time()),
        )
        return rows.fetchall()

    def locate(self, msg):
        """All contacts of the user ring at once."""
        found = self.contacts(msg.get_pseudoVar("$rU@$rd").lower())
        if not found:
            msg.call_function("send_reply", 404, "Not Found")
            return 0
        for uri, _ in found[1:]:
            msg.call_function("append_branch", literal(uri))
        msg.rewrite_ruri(found[0][0])
        msg.call_function("record_route")
        msg.call_function("t_relay")
        return 1

    # ---- REGISTER

    def register(self, msg):
        aor = msg.get_pseudoVar("$tU@$td").lower()
        wanted = msg.headers("Contact")
        self.db.execute("BEGIN IMMEDIATE")
        try:
            if wanted == ["*"]:
                self.remove_all(msg, aor)
            else:
                for value in wanted:
                    self.bind(msg, aor, value)
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")  # all of the contacts or none (RFC 3261 10.3)
            raise
        for uri, expires in self.contacts(aor):
            left = max(0, round(expires - time.time()))
            row = f"Contact: <{uri}>;expires={left}"
            msg.call_function("append_to_reply", literal(row))
        msg.call_function("send_reply", 200, "OK")

    def remove_all(self, msg, aor):
        if msg.getHeader("Expires") != "0":
            raise Refused(400, "Contact * Needs Expires 0")
        self.db.execute("DELETE FROM contacts WHERE aor = ?", (aor,))

    def bind(self, msg, aor, value):
        uri, parameters = split_contact(value)
        asked = seconds(msg.getHeader("Expires"), DEFAULT_EXPIRES)
        expires = min(seconds(parameters.get("expires"), asked), MOST_EXPIRES)
        if not uri.startswith("sip:"):
            raise Refused(400, "Contact Is No SIP URI")
        if 0 < expires < LEAST_EXPIRES:
            raise Refused(423, "Interval Too Brief", f"Min-Expires: {LEAST_EXPIRES}")
        call_id, cseq = msg.getHeader("Call-ID"), int(msg.get_pseudoVar("$cs"))
        before = self.db.execute(
            "SELECT call_id, cseq FROM contacts WHERE aor = ? AND uri = ?", (aor, uri)
        ).fetchone()
        if before is not None and before[0] == call_id and before[1] >= cseq:
            raise Refused(500, "Older Than the Last")
        self.db.execute(
            "DELETE FROM contacts WHERE aor = ? AND (uri = ? OR expires < ?)",
            (aor, uri, time.time()),
        )
        if expires == 0:
            return
        (count,) = self.db.execute("SELECT count(*) FROM contacts WHERE aor = ?", (aor,)).fetchone()
        if count >= MOST_CONTACTS:
            raise Refused(403, "Too Many Contacts")
        row = (aor, uri, time.time() + expires, call_id, cseq)
        self.db.execute("INSERT INTO contacts VALUES (?, ?, ?, ?, ?)", row)


def mod_init():
    return Registrar()
