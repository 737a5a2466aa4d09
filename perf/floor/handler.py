# mypy: disable-error-code="no-untyped-def"
"""The handler of the floor cases. The floor's ranks and isoexec's ranks load this same file."""


class Handler:
    def child_init(self, rank):
        return 0

    def route(self, msg):
        return 1

    def route_extra(self, msg, extra):
        return 1

    def reads(self, msg):
        msg.Method  # noqa: B018
        msg.RURI  # noqa: B018
        msg.getHeader("From")
        return 1

    def raises(self, msg):
        raise ValueError("x")


def mod_init():
    return Handler()
