"""A folder with a script and its modules that tests edit, and an engine that runs them."""

import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, errors
from support.host import LIMIT, Host, Records, recorded
from support.messages import INVITE

HANDLER = """
import sys
{top}

class Handler:
    def child_init(self, rank):
        self.rank = rank
        {child_init}
        return 0

    def go(self, msg):
        {go}

def mod_init():
    {mod_init}
    return Handler()
"""


class Site:
    """A folder with a script and its modules, which tests edit, and an engine that runs them."""

    def __init__(self, folder: Path, channel: str, isolation: str = "own_gil") -> None:
        self.folder, self.channel, self.isolation = folder, channel, isolation
        self.engine: Engine
        self.log: Records
        self._call: Callable[..., Any]

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def handler(
        self,
        go: str = "return 1",
        *,
        top: str = "",
        mod_init: str = "pass",
        child_init: str = "pass",
    ) -> None:
        text = HANDLER.format(
            top=textwrap.dedent(top), go=go, mod_init=mod_init, child_init=child_init
        )
        self.write("handler.py", text)

    def start(self, ranks: int = 1, script: str = "handler.py", **settings: Any) -> None:
        settings.setdefault("allow_look", True)
        settings.setdefault("isolation", self.isolation)
        path = self.folder / script
        if self.channel == "inline":
            host = Host(path, ranks, **settings)
            self.host, self.engine, self.log = host, host.engine, host.log
            self._call = host.call
        else:
            self._recorded = recorded()
            self.log = self._recorded.__enter__()
            self.engine = Engine(path, ranks=ranks, **settings)
            self._call = self.engine.python_exec

    def stop(self) -> None:
        if not hasattr(self, "engine"):
            return
        if self.channel == "inline":
            self.host.__exit__()
        else:
            self.engine.close()
            self._recorded.__exit__(None, None, None)

    def go(self, method: str = "go", rank: int = 1, **options: Any) -> int:
        result = self._call(method, INVITE, rank=rank, **options)
        assert result.outcome == "returned", result.error
        return int(result.code)

    def reload(self, **options: Any) -> None:
        """On the channel inline, ranks are idle threads that must service their mailbox."""
        if self.channel == "queue":
            self.engine.reload(**options)
            return
        failed: list[BaseException] = []
        done = threading.Event()

        def work() -> None:
            try:
                self.engine.reload(**options)
            except BaseException as error:
                failed.append(error)
            done.set()

        thread = threading.Thread(target=work)
        thread.start()
        while not done.wait(0.001):
            for rank in self.host.ranks.values():
                rank.run(lambda opened: opened.service())
        thread.join()
        if failed:
            raise failed[0]

    def fails(self, part: str = "", **options: Any) -> errors.ScriptError:
        with pytest.raises(errors.ScriptError) as caught:
            self.reload(**options)
        assert part in str(caught.value), str(caught.value)
        return caught.value

    def look(self, expression: str, rank: int = 1) -> Any:
        """The value of an expression in a rank; `statements; expression` runs the former first."""
        *statements, last = expression.split("; ")
        code = "\n".join([*statements, f"result = {last}"])
        if self.channel == "queue":
            return self.engine.look(rank, "run", code)
        answer: list[Any] = []
        thread = threading.Thread(
            target=lambda: answer.append(self.engine.look(rank, "run", code, timeout=LIMIT))
        )
        thread.start()
        while thread.is_alive():
            self.host.ranks[rank].run(lambda opened: opened.service())
            thread.join(0.001)
        return answer[0]

    def reloads(self) -> list[int]:
        return [row.reloads for row in self.engine.stats()]


# Where nothing but the rank is in its interpreter.
apart = pytest.mark.parametrize("site", ["queue", "inline"], indirect=True)
