"""One cell of the matrix: one fault on one isolation level. cells.py LEVEL FAULT

Prints one line of JSON: what came of it. The process may end by the fault itself: then that is what
came of it, and who started it sees so.
"""

import json
import logging
import sys
import threading
from pathlib import Path
from typing import Any

from isoexec import Engine
from support.messages import INVITE

HANDLER = Path(__file__).with_name("handler.py")


class Wrong(Exception):
    """What came of the fault is not what should."""


def need(true: object, what: str) -> None:
    if not true:
        raise Wrong(what)


class Cell:
    """An engine with two ranks of the level, and the lines of its log: text, level, rank."""

    def __init__(self, level: str, **settings: Any) -> None:
        self.level = level
        self.lines: list[tuple[str, int, int | None]] = []
        logger = logging.getLogger("cell")
        logger.propagate = False
        logger.setLevel(logging.DEBUG)
        handler = logging.Handler()
        handler.emit = self.keep  # type: ignore[method-assign]
        logger.addHandler(handler)
        self.engine = Engine(
            HANDLER,
            ranks=2,
            isolation=level,
            functions={"sl_send_reply": self.sl_send_reply, "again": self.again},
            logger=logger,
            **{"grace": 0.5, **settings},
        )

    def keep(self, record: logging.LogRecord) -> None:
        self.lines.append((record.getMessage(), record.levelno, getattr(record, "rank", None)))

    def sl_send_reply(self, call: Any, code: str, reason: str) -> int:
        self.replied = (code, reason)
        return 1

    def again(self, call: Any, method: str) -> int:
        result = self.engine.python_exec(method, INVITE, rank=call.rank)
        return int(result.code)

    def call(self, method: str, message: bytes = INVITE, extra: str | None = None) -> Any:
        return self.engine.python_exec(method, message, extra, rank=1)

    def clean(self, calls: int = 100) -> None:
        """The next calls of the rank know nothing of what was before."""
        for _ in range(calls):
            result = self.call("good")
            need(result.code == 1, f"the next call: {result.outcome} {result.error}")

    def value(self, result: Any, name: str) -> str:
        """What the method said in a header that it appended."""
        return next(edit[2] for edit in result.edits if edit[1] == name)

    def other_rank(self, method: str = "good") -> Any:
        return self.engine.python_exec(method, INVITE, rank=2)

    def in_thread(self, method: str, extra: str | None = None) -> threading.Thread:
        """Starts a call and comes back when it runs."""
        thread = threading.Thread(target=self.call, args=(method, INVITE, extra), daemon=True)
        thread.start()
        return thread


def main(level: str, name: str) -> None:
    from faults.rows import ROWS

    row = next(row for row in ROWS if row.name == name)
    try:
        outcome = row.run(level)
    except Wrong as wrong:
        outcome = f"WRONG: {wrong}"
    print(json.dumps(outcome))
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
