"""The script of the tests of process ranks: ways to end, to write, to ask."""

import atexit
import json
import logging
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time

import OpenSIPS


class Handler:
    def __init__(self):
        self.rank = 0
        self.kept = []

    def child_init(self, rank):
        self.rank = rank
        atexit.register(print, "atexit ran")
        return 0

    def child_exit(self, rank):
        print("child_exit ran")

    # ---- plain calls

    def one(self, msg):
        return 1

    def pid(self, msg):
        return os.getpid()

    def length(self, msg):
        return len(msg.raw)

    def checksum(self, msg):
        return sum(msg.raw) & 0x7FFFFFFF

    def count(self, msg):
        return len(msg.header_names())

    def body(self, msg, size):
        msg.set_body(b"x" * int(size), "application/octet-stream")
        return 1

    def many_edits(self, msg, count):
        for number in range(int(count)):
            msg.append_header(f"X-{number}", "v" * 50)
        return 1

    def long_error(self, msg):
        raise ValueError("long " * 20000)

    def inside(self, msg):
        """What a process has of its own, as a report."""
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        facts = {
            "stdin": os.read(0, 10).decode(),
            "env": os.environ.get("ISOEXEC_PROBE"),
            "sh": subprocess.run(
                ["sh", "-c", 'printf %s "$ISOEXEC_PROBE"'], capture_output=True, check=True
            ).stdout.decode(),
            "open": [
                os.readlink(f"/proc/self/fd/{fd}")
                for fd in range(100)
                if os.path.exists(f"/proc/self/fd/{fd}")
            ],
            "main": threading.current_thread() is threading.main_thread(),
            "group": os.getpgid(0) == os.getpid(),
            "limit": limit,
            "version": list(sys.version_info[:2]),
            "prefix": sys.prefix,
        }
        msg.call_function("report", json.dumps(facts))
        return 1

    # ---- ways to end

    def end(self, msg, how):
        print("last words")
        if how == "segv":
            mmap.mmap(-1, mmap.PAGESIZE, prot=0)[0]
        elif how == "exit":
            os._exit(3)
        elif how == "abort":
            os.abort()
        elif how == "thread":
            threading.Thread(target=os._exit, args=(4,)).start()
            time.sleep(30)
        elif how == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            os.kill(os.getpid(), getattr(signal, how))
        return 1

    def hog(self, msg):
        self.kept.append(b"x" * (1 << 30))
        return 1

    def sleep(self, msg, seconds):
        time.sleep(float(seconds))
        return 7

    def spin(self, msg):
        while True:
            pass

    def stubborn(self, msg, seconds):
        end = time.monotonic() + float(seconds)
        while time.monotonic() < end:
            try:
                while time.monotonic() < end:
                    pass
            except BaseException:
                pass
        return 1

    # ---- what only a process can

    def fork(self, msg):
        child = os.fork()
        if child == 0:
            print("from the fork")
            sys.exit(0)
        return 1 if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 else -1

    def daemon(self, msg):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        return 1

    # ---- log

    def levels(self, msg):
        OpenSIPS.LM_ERR("an error")
        print("printed")
        logging.getLogger("x").warning("logged")
        OpenSIPS.LM_INFO("information")
        os.write(2, b"raw\n")
        return 1

    def flood(self, msg, lines):
        for number in range(int(lines)):
            print("line", number)
        return 1

    def later(self, msg):
        threading.Timer(0.05, print, ("from a thread",)).start()
        return 1

    # ---- host functions

    def ask(self, msg, extra=None):
        return msg.call_function("ask", extra)

    def edit_and_ask(self, msg, extra):
        msg.append_header("X-Before", "1")
        code = msg.call_function("ask", extra)
        msg.append_header("X-After", "1")
        return code

    def variable(self, msg):
        return len(msg.get_pseudoVar("$ru"))

    def inner(self, msg, extra=None):
        msg.append_header("X-Inner", str(extra))
        if extra == "raise":
            raise ValueError("inner")
        return 3

    # ---- a hostile process

    def scribble(self, msg, seed):
        """Writes chance into the memory that it shares with the host, then answers."""
        import ctypes  # refused in own-GIL ranks of 3.12, which load this script too

        chance = random.Random(int(seed))
        with open("/proc/self/maps", encoding="ascii") as maps:
            line = next(line for line in maps if "isoexec-rank" in line)
        begin = int(line.split("-")[0], 16)
        places = [(0, 8192), (8192, 4096), (8192 + (1 << 20), 65536)]
        for _ in range(chance.randrange(1, 400)):
            first, room = chance.choice(places)
            value = chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, chance.getrandbits(32)))
            at = begin + first + chance.randrange(room // 4) * 4
            ctypes.c_uint32.from_address(at).value = value
        if chance.random() < 0.3:
            msg.call_function("ask", "x")
        print("scribbled")
        return 1


def mod_init():
    return Handler()
