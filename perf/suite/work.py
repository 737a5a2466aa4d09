"""The work of every rival for a message, written for octets; `handler.py` is its twin.

What a method returns says whether the work was done: `ANSWERS`.
"""

import os
import time

MESSAGE = (
    b"INVITE sip:+442079460123@gw.example.net;user=phone SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 198.51.100.7:5060;branch=z9hG4bK776asdhds;rport\r\n"
    b'Max-Forwards: 68\r\nFrom: "Alice" <sip:alice@example.com>;tag=1928301774\r\n'
    b"To: <sip:+442079460123@gw.example.net>\r\nCall-ID: a84b4c76e66710@198.51.100.7\r\n"
    b"CSeq: 314159 INVITE\r\nContact: <sip:alice@198.51.100.7:5060>\r\n"
    b"User-Agent: Example Phone 4.2\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 0\r\nX-Rest: "
)
LENGTH = 713
MESSAGE += b"x" * (LENGTH - len(MESSAGE) - 4) + b"\r\n\r\n"

HEADERS = ("From", "To", "Call-ID", "User-Agent")

# How many turns of an empty loop take 10 us (perf/suite/spin.py).
TURNS_VARIABLE = "PERF_TURNS_10_US"
LOOP = 200  # CPython has the ints below 257 ready
ITEMS = 200
SLEEP = 0.005  # seconds


def header(message: bytes, name: str) -> str:
    """The value of the first row of a name, as little as does it."""
    start = message.index(b"\r\n" + name.encode() + b": ") + len(name) + 4
    return message[start : message.index(b"\r\n", start)].decode()


def empty(message: bytes) -> int:
    return 1


def reads(message: bytes) -> int:
    return sum(len(header(message, name)) for name in HEADERS)


def forward(message: bytes) -> int:
    method, uri, rest = message.split(b" ", 2)
    user, _, _ = uri.partition(b"@")
    head, _, body = rest.partition(b"\r\n\r\n")
    sent = b" ".join((method, user + b"@192.0.2.1", head)) + b"\r\nX-Carrier: one\r\n\r\n" + body
    return int(sent.endswith(b"one\r\n\r\n"))


def spin(turns: int) -> None:
    for _ in range(turns // LOOP):
        for _ in range(LOOP):
            pass
    for _ in range(turns % LOOP):
        pass


TURNS_10_US = int(os.environ.get(TURNS_VARIABLE, "1000"))


def spin_10_us(message: bytes) -> int:
    spin(TURNS_10_US)
    return 1


def spin_50_us(message: bytes) -> int:
    spin(5 * TURNS_10_US)
    return 1


def allocate(message: bytes) -> int:
    return len({f"key-{number}": [number] for number in range(ITEMS)})


def sleep(message: bytes) -> int:
    time.sleep(SLEEP)
    return 1


METHODS = {
    function.__name__: function
    for function in (empty, reads, forward, spin_10_us, spin_50_us, allocate, sleep)
}
ANSWERS = {name: function(MESSAGE) for name, function in METHODS.items() if name != "sleep"}
ANSWERS["sleep"] = 1


def do(method: str, message: bytes) -> int:
    """What a process or an interpreter of a rival runs."""
    return METHODS[method](message)
