"""What runs Python handlers: one file a kind. `RIVALS` has those that this machine can run."""

import importlib
from collections.abc import Iterable

from perf.rivals.rival import Rival

FILES = ("plain", "threads", "processes", "sockets", "subinterpreters", "isoexec_ranks")


def _classes() -> Iterable[type[Rival]]:
    for name in FILES:
        yield from importlib.import_module(f"perf.rivals.{name}").RIVALS


RIVALS: dict[str, type[Rival]] = {rival.name: rival for rival in _classes() if rival.available()}
