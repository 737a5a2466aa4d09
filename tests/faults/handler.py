"""The handler of the matrix: each method does one thing wrong."""

import mmap
import os
import subprocess
import sys
import threading
import time

import OpenSIPS


class Handler:
    def __init__(self):
        self.ticks = 0
        self.kept = None
        self.copy = None
        self.seen = []
        self.numbers = []
        self.running = True
        threading.Thread(target=self.tick).start()

    def child_init(self, rank):
        self.numbers.append(rank)
        threading.Thread(target=self.tick).start()
        return 0

    def child_exit(self, rank):
        self.running = False

    def tick(self):
        while self.running:
            self.ticks += 1
            time.sleep(0.005)

    def good(self, msg):
        return 1 if msg.getHeader("Call-ID") else -1

    # ---- what ends a call

    def raises(self, msg):
        raise ValueError("no such route")

    def surrogate(self, msg):
        raise ValueError("lone \udc80 surrogate")

    def returns(self, msg, what):
        return {"none": None, "text": "1", "huge": 1 << 80, "zero": 0, "negative": -7}[what]

    def leaves(self, msg):
        sys.exit(3)

    def recursion(self, msg):
        return self.recursion(msg)

    # ---- messages that outlive their call

    def keep(self, msg):
        self.kept = msg
        return 1

    def read_kept(self, msg):
        return 1 if self.kept.getHeader("Call-ID") == "kept@192.0.2.1" else -1

    def keep_copy(self, msg):
        self.copy = msg.copy()
        return 1

    def watch_copy(self, msg):
        copy = msg.copy()

        def look():
            for _ in range(2000):
                self.seen.append(copy.getHeader("Call-ID"))

        self.looker = threading.Thread(target=look)
        self.looker.start()
        return 1

    def read_copy(self, msg):
        return 1 if self.copy.getHeader("Call-ID") == "kept@192.0.2.1" else -1

    def copies_seen(self, msg):
        self.looker.join()
        return 1 if set(self.seen) == {"kept@192.0.2.1"} else -1

    # ---- time

    def sleeps(self, msg, seconds):
        time.sleep(float(seconds))
        return 1

    def spins(self, msg):
        while True:
            pass

    def spins_in_del(self, msg):
        class Spin:
            def __del__(self):
                while True:
                    pass

        Spin()
        return 1

    def spins_on(self, msg):
        try:
            while True:
                pass
        except BaseException:
            while True:
                pass

    def spins_with_thread(self, msg):
        def busy():
            while self.spinning:
                pass

        self.spinning = True
        thread = threading.Thread(target=busy)
        try:
            thread.start()  # on a busy machine the deadline may come here
            while True:
                pass
        finally:
            self.spinning = False
            if thread.ident is not None:
                thread.join()

    def spins_nested(self, msg):
        return msg.call_function("again", "spins")

    def ticks_of(self, msg):
        msg.append_header("X-Ticks", str(self.ticks))
        return 1

    # ---- the end of everything

    def os_exit(self, msg):
        os._exit(3)

    def segfault(self, msg):
        mmap.mmap(-1, mmap.PAGESIZE, prot=0)[0]  # ctypes is refused in own-GIL ranks of 3.12

    def killed(self, msg):
        os.kill(os.getpid(), 9)

    # ---- messages

    def first_value(self, msg, name):
        value = msg.getHeader(name)
        msg.append_header("X-Value", repr(value))
        return 1 if value is not None else 2

    def count_values(self, msg, name):
        return len(msg.headers(name))

    def bad_names(self, msg):
        if msg.getHeader("a\0b") is not None:
            return -1
        try:
            msg.getHeader(3)
        except TypeError:
            return 1
        return -2

    def status_of_request(self, msg):
        try:
            return len(msg.Status)
        except RuntimeError:
            pass
        try:
            msg.call_function("no_such_function")
        except RuntimeError:
            return 1
        return -2

    def rewrite(self, msg, uri):
        try:
            msg.rewrite_ruri(uri)
        except ValueError:
            return 2
        return 1

    def host_function(self, msg):
        return msg.call_function("sl_send_reply", "480", "Busy")

    # ---- the world outside

    def runs_program(self, msg):
        done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True)
        return 1 if done.stdout == b"42\n" else -1

    def imports(self, msg, name):
        __import__(name)
        return 1

    def stdlib_of(self, msg):
        import ssl

        folder = os.path.dirname(os.path.dirname(ssl.__file__))
        return (
            1
            if f"{sys.version_info.major}.{sys.version_info.minor}" in ssl.__file__
            else len(folder)
        )

    def init_numbers(self, msg):
        msg.append_header("X-Numbers", repr(self.numbers))
        return 1

    def logs(self, msg):
        OpenSIPS.LM_ERR("logged")
        print("printed")
        return 1


def mod_init():
    return Handler()
