"""What is measured: one file a case."""

import importlib

from perf.suite.measure import Case

FILES = ("round_trip", "ladder", "scaling", "blocking", "wake", "start", "memory", "reload")

CASES: dict[str, Case] = {
    case.name: case
    for name in FILES
    for case in importlib.import_module(f"perf.cases.{name}").CASES
}
