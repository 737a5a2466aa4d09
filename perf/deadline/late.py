# mypy: disable-error-code="no-untyped-def"
"""The handler of the cases that are late: each spins until its deadline ends it."""

import threading


class Spins:
    def __del__(self):
        while True:
            pass


class Handler:
    def child_init(self, rank):
        self.stopping = False
        return 0

    def route(self, msg):
        return 1

    def spin(self, msg):
        while True:
            pass

    def in_del(self, msg):
        spins = Spins()
        del spins
        while True:
            pass

    def swallowed_once(self, msg):
        try:
            while True:
                pass
        except BaseException:
            self.swallowed = True
        while True:
            pass

    def nested(self, msg):
        return msg.call_function("again")

    def start(self, msg):
        self.stopping = False
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return 1

    def work(self):
        while not self.stopping:
            pass

    def stop(self, msg):
        self.stopping = True
        self.thread.join()
        return 1


def mod_init():
    return Handler()
