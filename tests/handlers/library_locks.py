"""Calls without end that take locks of the library, in every way a script comes by them."""

import importlib
import io
import logging
import queue
import sys
import tempfile
import threading

MODULE = "colorsys"  # small, and nobody else's

log = logging.getLogger("library_locks")
log.addHandler(logging.StreamHandler(io.StringIO()))
log.propagate = False


class Handler:
    def child_init(self, rank):
        self.event = threading.Event()
        self.condition = threading.Condition()
        self.semaphore = threading.Semaphore(1)
        self.queue = queue.Queue()
        self.thread, self.done = None, False
        self.spinner, self.stopping = None, False
        return 0

    # ---- once, as a thread that has nothing to do with the call does it

    def imports(self):
        sys.modules.pop(MODULE, None)
        importlib.import_module(MODULE)

    def logs(self):
        log.handlers[0].setStream(io.StringIO())
        log.error("one line")

    def events(self):
        self.event.set()
        self.event.wait(0)
        self.event.clear()

    def conditions(self):
        with self.condition:
            self.condition.notify_all()

    def waits(self):
        with self.condition:
            self.condition.wait(0.0001)

    def semaphores(self):
        with self.semaphore:
            pass

    def queues(self):
        self.queue.put(1)
        self.queue.get()

    def names(self):
        tempfile.tempdir = None
        tempfile.gettempdir()

    # ---- called

    def endless(self, msg, what):
        once = getattr(self, what)
        while True:
            once()

    def others(self, msg, what):
        """1 once another thread of the interpreter has done it; 0: call again."""
        if self.done:
            self.done, self.thread = False, None
            return 1
        if self.thread is None or self.thread.ident is None:  # a deadline may come here too
            self.thread = threading.Thread(target=self.do, args=(what,))
            self.thread.start()
        return 0

    def busy(self, msg, on):
        """Another thread that always wants the GIL: a deadline meets it half of the time. It
        may come here too: then the call is made again, or the thread would never end."""
        if on == "yes":
            if self.spinner is None or not self.spinner.is_alive():
                self.stopping = False
                self.spinner = threading.Thread(target=self.spin)
                self.spinner.start()
        else:
            self.stopping = True
            self.spinner.join()
        return 1

    def spin(self):
        while not self.stopping:
            pass

    def do(self, what):
        getattr(self, what)()
        self.done = True


def mod_init():
    return Handler()
