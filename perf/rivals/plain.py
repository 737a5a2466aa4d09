"""A plain call: no isolation, what the work itself takes."""

from perf.rivals.rival import Rival
from perf.suite import work


class Plain(Rival):
    name, what, crosses = "plain", "a Python function, called", "nothing"

    def call(self, method: str, message: bytes) -> int:
        return work.METHODS[method](message)


RIVALS = [Plain]
