"""What the queue tests call, from C and from Python. Host functions: see the tests."""

import hashlib
import threading
import time


class Basic:
    def child_init(self, rank):
        self.rank, self.thread = rank, threading.get_ident()
        self.counted = 0
        self.end = threading.Event()
        return 0

    def one(self, msg):
        return 1

    def number(self, msg, extra):
        """The answer is the call's own: a wrong pairing shows."""
        return int(extra)

    def own(self, msg, extra):
        """The same, with edits and with a look at the message that came with it."""
        if msg.getHeader("Call-ID") != extra:
            return -2
        msg.append_header("X-Own", extra)
        msg.set_dst_uri(f"sip:{extra}@example.net")
        return len(extra)

    def digest(self, msg, extra):
        return 1 if hashlib.sha256(msg.raw).hexdigest() == extra else -1

    def who(self, msg):
        return self.rank

    def same_thread(self, msg):
        return threading.get_ident() == self.thread

    def count(self, msg):
        self.counted += 1
        return self.counted

    def counts(self, msg):
        return self.counted

    def sleep(self, msg, seconds):
        time.sleep(float(seconds))
        return 1

    def raises(self, msg):
        raise ValueError("in the rank")

    def logs(self, msg, text):
        print(text)
        return 1

    def calls(self, msg, text):
        """Calls the host function that the first word names, with the other words."""
        return msg.call_function(*text.split())

    def caught(self, msg, text):
        try:
            return msg.call_function(*text.split())
        except RuntimeError:
            return -7

    def edits_around(self, msg, name):
        msg.append_header("X-Before", "1")
        code = msg.call_function(name)
        msg.append_header("X-After", "1")
        return code

    def edits_and_raises(self, msg, name):
        msg.call_function(name)
        raise ValueError("after the edits")

    def variable(self, msg, text):
        value = msg.get_pseudoVar(text)
        return 0 if value is None else len(value)

    def set_variable(self, msg, name):
        msg.set_pseudoVar(name, "value")
        return 1

    def start(self, msg):
        """A thread of the script that keeps the rank's GIL as busy as it can."""
        self.end.clear()
        self.worker = threading.Thread(target=self.work)
        self.worker.start()
        return 1

    def work(self):
        while not self.end.is_set():
            sum(range(1000))

    def stop(self, msg):
        self.end.set()
        self.worker.join()
        return 1


def mod_init():
    return Basic()
