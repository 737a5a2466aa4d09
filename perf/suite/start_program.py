"""Starts ranks of a rival, has each answer once, and prints how long that took, in seconds.

Arguments: name of the rival, ranks. The import of Python's own modules that a rival needs is in it.
"""

import os
import sys
import threading
import time

import perf.paths  # noqa: F401  before isoexec


def main() -> None:
    name, ranks = sys.argv[1], int(sys.argv[2])
    begin = time.perf_counter()
    from perf.rivals import RIVALS
    from perf.suite import work
    from perf.suite.measure import check

    rival = RIVALS[name](ranks)
    ended = threading.Barrier(rival.ranks + 1)

    def first(number: int) -> None:
        with rival.caller(number) as call:
            check(rival, "reads", call("reads", work.MESSAGE))
            ended.wait()

    for number in range(1, rival.ranks + 1):
        threading.Thread(target=first, args=(number,)).start()
    ended.wait(60)
    print(time.perf_counter() - begin, flush=True)
    rival.close()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # how a rival ends is no part of it
