"""A limit of calls for each caller: a bucket that fills with RATE tokens a second, up to BURST.

    isoexec serve --listen udp:0.0.0.0:5060 examples/rate_limit.py

The kernel gives all datagrams of one sender to one worker, so buckets by sender need no sharing.
"""

import time

RATE = 5.0  # new requests a second
BURST = 10.0
MOST_CALLERS = 100_000


class Bucket:
    __slots__ = ("at", "tokens")

    def __init__(self, now):
        self.at, self.tokens = now, BURST

    def take(self, now):
        """0, or how many seconds are left to the next token."""
        self.tokens = min(BURST, self.tokens + (now - self.at) * RATE)
        self.at = now
        if self.tokens < 1:
            return (1 - self.tokens) / RATE
        self.tokens -= 1
        return 0


class RateLimit:
    def __init__(self):
        self.buckets = {}

    def child_init(self, rank):
        return 0

    def wait_of(self, caller):
        now = time.monotonic()
        bucket = self.buckets.get(caller)
        if bucket is None:
            if len(self.buckets) >= MOST_CALLERS:
                self.forget(now)
            bucket = self.buckets[caller] = Bucket(now)
        return bucket.take(now)

    def forget(self, now):
        """Those whose bucket is full again are as good as new."""
        full = BURST / RATE
        self.buckets = {
            who: bucket for who, bucket in self.buckets.items() if now - bucket.at < full
        }

    def route(self, msg):
        if msg.Method in ("ACK", "CANCEL", "BYE") or msg.call_function("has_totag") > 0:
            return 1  # what ends a call, or belongs to one, always passes
        wait = self.wait_of(msg.src_address[0])
        if wait > 0:
            msg.call_function("append_to_reply", f"Retry-After: {int(wait) + 1}")
            msg.call_function("send_reply", 503, "Too Many Calls")
            return 0
        return 1


def mod_init():
    return RateLimit()
