"""What the tests of deadlines call, from C and from Python: every way to take too long."""

import contextlib
import gc
import re
import threading
import time

from OpenSIPS import DeadlineExceeded


class Spins:
    """Its end takes for ever."""

    def __del__(self):
        while True:
            pass


class Guard:
    def __enter__(self):
        return self

    def __exit__(self, *error):
        while True:
            pass


class Index:
    def __index__(self):
        while True:
            pass


class Handler:
    def child_init(self, rank):
        self.rank = rank
        self.cleaned = 0
        self.stopping = threading.Event()
        self.worker = None
        self.go_on = threading.Event()
        return 0

    # ---- calls that keep to it

    def one(self, msg):
        return 1

    def imports(self, msg):
        import isoexec

        return 1 if isoexec.DeadlineExceeded is DeadlineExceeded else -1

    def who(self, msg):
        return self.rank

    def identity(self, msg):
        """Tells interpreters apart: what the one before counted is gone in a new one."""
        self.cleaned += 1
        return self.cleaned

    def until(self, msg, ns):
        """Ends after so long, to some microseconds: sleeps most of it, spins the rest."""
        end = time.perf_counter_ns() + int(ns)
        time.sleep(max(0.0, int(ns) / 1e9 - 250e-6))
        while time.perf_counter_ns() < end:
            pass
        return 1

    # ---- calls that do not

    def spin(self, msg):
        while True:
            pass

    def spin_with_edits(self, msg):
        msg.append_header("X-Late", "1")
        while True:
            pass

    def calls_spin(self, msg):
        return [self.spin(msg) for _ in range(3)][0]

    def in_del(self, msg):
        spins = Spins()
        del spins
        while True:
            pass

    def del_at_the_end(self, msg):
        """Its local dies after the method's last line."""
        spins = Spins()
        return 1 if spins else 0

    def in_exit(self, msg):
        with Guard():
            pass
        return 1

    def in_index(self, msg):
        return Index()

    def in_generator(self, msg):
        def endless():
            while True:
                with contextlib.suppress(Exception):
                    yield

        for _ in endless():
            pass

    def in_collector(self, msg):
        class Node:
            def __del__(self):
                while True:
                    pass

        node = Node()
        node.itself = node
        del node
        gc.collect()
        while True:
            pass

    def bare_except(self, msg):
        """Swallows it once."""
        try:
            while True:
                pass
        except BaseException:
            self.swallowed = True
        while True:
            pass

    def except_exception(self, msg):
        try:
            while True:
                pass
        except Exception:
            return 2

    def raises_another(self, msg):
        try:
            while True:
                pass
        except DeadlineExceeded:
            raise SystemExit(3) from None

    def cleans_up(self, msg):
        """Its clean-up takes some milliseconds, and is let alone."""
        try:
            while True:
                pass
        finally:
            end = time.monotonic() + 0.004
            while time.monotonic() < end:
                pass
            self.cleaned += 1

    def times_cleaned(self, msg):
        return self.cleaned

    def swallows(self, msg):
        """Swallows it, and returns at once."""
        try:
            while True:
                pass
        except BaseException:
            return 5

    def sleeps(self, msg, seconds):
        time.sleep(float(seconds))
        return 7

    def waits_then_reads(self, msg, text):
        """The message is read after the caller has its answer: see was_read."""
        self.read = 0
        try:
            msg.call_function(*text.split())
        except DeadlineExceeded:
            self.read = 1 if msg.getHeader("Call-ID") and msg.raw.endswith(b"\r\n\r\n") else -9
            raise
        return 7

    def was_read(self, msg):
        return self.read

    def regex(self, msg):
        """C code that keeps the GIL, for seconds."""
        re.match(r"(a+)+$", "a" * 25 + "b")
        return 8

    # ---- host functions and nested calls

    def calls(self, msg, text):
        return msg.call_function(*text.split())

    def calls_again_spin(self, msg):
        return msg.call_function("again", "spin")

    def calls_then_spins(self, msg, text):
        msg.call_function(*text.split())
        while True:
            pass

    def catches(self, msg, text):
        """A nested call's failure is a code here; the outer deadline comes all the same."""
        code = msg.call_function(*text.split())
        end = time.monotonic() + 30
        while time.monotonic() < end:
            pass
        return code

    # ---- threads of the script; a deadline may come here too: then the call is made again

    def start(self, msg):
        if self.worker is None or not self.worker.is_alive():
            self.stopping.clear()
            self.worker = threading.Thread(target=self.work)
            self.worker.start()
        return 1

    def work(self):
        while not self.stopping.is_set():
            pass

    def stop(self, msg):
        self.stopping.set()
        self.worker.join()
        return 1


def mod_init():
    return Handler()
