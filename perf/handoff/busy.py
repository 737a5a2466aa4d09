# mypy: disable-error-code="no-untyped-def"
"""The handler of the case throughput: it works for as long as the caller says."""

TURNS = 200  # ints below 257 are not made: see floor/busy_handler.py


class Handler:
    def child_init(self, rank):
        return 0

    def busy(self, msg, rounds):
        whole, rest = divmod(int(rounds), TURNS)
        for _ in range(whole):
            for _ in range(TURNS):
                pass
        for _ in range(rest):
            pass
        return 1

    def route(self, msg):
        return 1


def mod_init():
    return Handler()
