"""One method for each way in which a method can fail, and `fine` to call after it."""

import sys


class Faults:
    value = 5

    def child_init(self, rank):
        self.kept = []
        return 0

    def fine(self, msg):
        # A C call that fails if an error of an earlier call is still pending.
        return 7 if int("7") == len([*range(7)]) and msg.getHeader("Call-ID") else -7

    def extra(self, msg, extra):
        return len(extra)

    def optional(self, msg, extra=None):
        return -2 if extra is None else len(extra)

    def boolean(self, msg):
        return True

    def index(self, msg):
        class Index:
            def __index__(self):
                return 12

        return Index()

    def bad_index(self, msg):
        class Index:
            def __index__(self):
                raise ValueError("no index today")

        return Index()

    def largest(self, msg):
        return 2**31 - 1

    def smallest(self, msg):
        return -(2**31)

    def too_large(self, msg):
        return 2**31

    def huge(self, msg):
        return 1 << 200

    def none(self, msg):
        return None

    def text(self, msg):
        return "1"

    def fraction(self, msg):
        return 1.5

    def octets(self, msg):
        return b"1"

    def raises(self, msg):
        raise ValueError("the reason")

    def chained(self, msg):
        try:
            raise KeyError("first")
        except KeyError as error:
            raise LookupError("second") from error

    def odd_text(self, msg):
        raise ValueError("lone \udcff surrogate, NUL \0, \u0395\u03bb")

    def bad_str(self, msg):
        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no text")

        raise Odd

    def group(self, msg):
        raise ExceptionGroup("many", [ValueError("one"), TypeError("two")])

    def exits(self, msg):
        sys.exit(3)

    def exits_with_text(self, msg):
        sys.exit("good bye")

    def interrupts(self, msg):
        raise KeyboardInterrupt

    def generator_exit(self, msg):
        raise GeneratorExit

    def recursion(self, msg):
        return 1 + self.recursion(msg)

    def recursion_in_c(self, msg):
        nested = []
        for _ in range(1_000_000):
            nested = [nested]
        return len(repr(nested))

    def memory(self, msg):
        raise MemoryError

    def allocates(self, msg):
        return len(bytes(1 << 62))

    def edits_then_raises(self, msg):
        msg.rewrite_ruri("sip:gone@example.net")
        msg.set_dst_uri("sip:gone@example.net")
        msg.append_header("X-Gone", "yes")
        raise ValueError("after the edits")

    def unraisable(self, msg):
        class Odd:
            def __del__(self):
                raise ValueError("lost in __del__")

        Odd()
        return 1

    def echo(self, msg):
        return msg.call_function("echo", msg.getHeader("Call-ID"), msg.raw.hex())


def mod_init():
    return Faults()
