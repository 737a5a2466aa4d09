"""The case python, a program of its own: the floor's extension and isoexec in turn.

Arguments: folder of floor_proto, script, repeats, calls. One line a sample on standard
output. Both sides are called as their users write it, an attribute of an object and two arguments.
"""

import importlib
import os
import sys
from time import thread_time_ns
from typing import Protocol

from isoexec import Engine


class Callee(Protocol):
    def python_exec(self, method: str, message: bytes, /) -> object: ...


def time_calls(callee: Callee, message: bytes, calls: int) -> float:
    """Nanoseconds of CPU time per call, the loop included on both sides."""
    rounds = range(calls)
    begin = thread_time_ns()
    for _ in rounds:
        callee.python_exec("route", message)
    return (thread_time_ns() - begin) / calls


def main() -> None:
    folder, script, repeats, calls = sys.argv[1:]
    sys.path.append(folder)
    floor_proto = importlib.import_module("floor_proto")
    message = floor_proto.MESSAGE
    with Engine(script, ranks=1, channel="inline") as engine, engine.open_rank(1) as rank:
        floor_proto.start(script)
        answer = rank.python_exec("route", message)
        if (floor_proto.python_exec("route", message), answer.code) != (1, 1):
            raise SystemExit(f"wrong answer: {answer}")
        sides: dict[str, Callee] = {"floor": floor_proto, "isoexec": rank}
        for callee in sides.values():
            time_calls(callee, message, int(calls) // 20)
        for _ in range(int(repeats)):
            for name, callee in sides.items():
                print("python", name, time_calls(callee, message, int(calls)))
    sys.stdout.flush()
    os._exit(0)  # the floor's interpreter lives on, which Py_FinalizeEx does not survive on 3.12


if __name__ == "__main__":
    main()
