"""The routes of proxy_sipp, with faults at random: in a request that wants one, and in replies."""

import random
import sys
import time

import proxy_sipp


def deep():
    return deep()


def for_ever():
    while True:
        pass


def fault(msg, kinds):
    kind = random.choice(kinds)
    if kind == "raise":
        raise LookupError(msg.getHeader("Call-ID"))
    if kind == "exit":
        sys.exit(3)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "deep":
        deep()
    if kind == "late":
        for_ever()  # until the deadline
    if kind == "slow":
        time.sleep(0.002)
    return {"text": "no number", "none": None, "large": 1 << 80}.get(kind, -1)


class Handler(proxy_sipp.Handler):
    def route(self, msg):
        if msg.Method == "OPTIONS":
            kinds = ["raise", "exit", "interrupt", "deep", "slow", "text", "none", "large"]
            return fault(msg, kinds * 5 + ["late"])
        return super().route(msg)

    def reply(self, msg):
        if random.random() < 0.2:
            return fault(msg, ["raise", "exit", "slow", "text", "none"])
        return 1


def mod_init():
    return Handler()
