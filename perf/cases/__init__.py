"""What is measured: one file a case."""

import importlib

from perf.suite.measure import Case

FILES = (
    "round_trip",
    "ladder",
    "corpus",
    "hand_off",
    "scaling",
    "blocking",
    "wake",
    "start",
    "memory",
    "reload",
    "deadline",
    "proxy",
)

CASES: dict[str, Case] = {
    case.name: case
    for name in FILES
    for case in importlib.import_module(f"perf.cases.{name}").CASES
}
