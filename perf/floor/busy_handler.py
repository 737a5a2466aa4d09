# mypy: disable-error-code="no-untyped-def"
"""A handler whose method works for 10 us (perf/suite/spin.py), for ranks that work at once.

Its ints are below 257, which CPython has ready: what it costs to make one depends on how full the
memory pools of the interpreter happen to be (measured: 15 per cent of the method).
"""

import os

TURNS_10_US = int(os.environ.get("PERF_TURNS_10_US", "1000"))
WHOLE, REST = divmod(TURNS_10_US, 200)


class Handler:
    def child_init(self, rank):
        return 0

    def route(self, msg):
        for _ in range(WHOLE):
            for _ in range(200):
                pass
        for _ in range(REST):
            pass
        return 1

    reads = route

    def route_extra(self, msg, extra):
        return 1

    def raises(self, msg):
        raise ValueError("x")


def mod_init():
    return Handler()
