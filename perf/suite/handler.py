"""The work of `work.py` as a handler script."""

import os
import time

HEADERS = ("From", "To", "Call-ID", "User-Agent")
TURNS_10_US = int(os.environ.get("PERF_TURNS_10_US", "1000"))
LOOP = 200
ITEMS = 200
SLEEP = 0.005


def spin(turns):
    for _ in range(turns // LOOP):
        for _ in range(LOOP):
            pass
    for _ in range(turns % LOOP):
        pass


class Handler:
    def child_init(self, rank):
        return 0

    def empty(self, msg):
        return 1

    def reads(self, msg):
        return sum(len(msg.getHeader(name)) for name in HEADERS)

    def forward(self, msg):
        user, _, _ = msg.RURI.partition("@")
        msg.rewrite_ruri(user + "@192.0.2.1")
        msg.append_header("X-Carrier", "one")
        return 1

    def spin_10_us(self, msg):
        spin(TURNS_10_US)
        return 1

    def spin_50_us(self, msg):
        spin(5 * TURNS_10_US)
        return 1

    def allocate(self, msg):
        return len({f"key-{number}": [number] for number in range(ITEMS)})

    def sleep(self, msg):
        time.sleep(SLEEP)
        return 1


def mod_init():
    return Handler()
