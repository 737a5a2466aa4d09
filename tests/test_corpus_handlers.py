"""The scenarios of the corpus' handler scripts, each in its own ranks."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import corpus
from support.host import Host, wait_until
from support.run import environment

HANDLERS = corpus.CARRIED / "handlers"
ERROR = 40  # logging's number for LM_ERR

# What the scripts call in the host.
FUNCTIONS = ("append_hf", "remove_hf", "append_to_reply", "sl_send_reply", "consume_credentials")
EFFECTS = {"set_ruri": "rewrite_ruri", "set_dst_uri": "set_dst_uri"}


class Effects:
    """Puts host function calls and edits of one call into the order in which they were made."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, list[Any]]] = []

    def functions(self) -> dict[str, Callable[..., int]]:
        return {name: self._recorder(name) for name in FUNCTIONS}

    def _recorder(self, name: str) -> Callable[..., int]:
        def function(call: Any, *arguments: Any) -> int:
            self.calls.append((len(call.edits), ["call_function", name, *arguments]))
            return 1

        return function

    def take(self, edits: list[Any]) -> list[list[Any]]:
        calls, self.calls = self.calls, []
        ordered = []
        for done, edit in enumerate(edits):
            while calls and calls[0][0] <= done:
                ordered.append(calls.pop(0)[1])
            if edit.kind in EFFECTS:
                ordered.append([EFFECTS[edit.kind], edit.value])
        return ordered + [call for _, call in calls]


@pytest.fixture
def redis() -> Iterator[str]:
    """The address of the little server that stands in for Redis."""
    command = [sys.executable, str(HANDLERS / "fake_redis.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as server:
        assert server.stdout is not None
        try:
            yield f"127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


@pytest.mark.parametrize("scenario", corpus.scenarios(), ids=lambda line: line["id"])
def test_scenario(
    scenario: corpus.Line,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    places = {"$TMP": str(tmp_path)}
    if "needs" in scenario:
        places["$REDIS"] = request.getfixturevalue("redis")
    for name, value in scenario.get("env", {}).items():
        monkeypatch.setenv(name, fill(value, places))
    settings = {"mod_init_function": scenario["mod_init"]} if "mod_init" in scenario else {}
    effects, absent = Effects(), []
    script = HANDLERS / scenario["script"]
    with Host(
        script, scenario.get("ranks", [1]), functions=effects.functions(), **settings
    ) as host:
        for step in scenario["steps"]:
            if "write_file" in step:
                Path(fill(step["write_file"], places)).write_text(step["text"], encoding="utf-8")
            elif "sleep" in step:
                time.sleep(step["sleep"])
            elif (message := corpus.scenario_message(step["message"])) is None:
                absent.append(step["message"])
            else:
                check_step(host, step, message.read_bytes(), effects)
    if "file_lines" in scenario:
        check_lines(tmp_path / "acc-1.jsonl", scenario["file_lines"])
    if absent:
        corpus.require_torture()


def check_step(host: Host, step: corpus.Line, message: bytes, effects: Effects) -> None:
    rank = step.get("rank", 1)
    options = {"extra": step.get("extra"), "source": tuple(step.get("src", ("192.0.2.200", 5060)))}
    before = len(host.log.texts(ERROR, rank))
    result = host.call(step["method"], message, rank=rank, **options)
    if "raises" in step or "outcome" in step:
        assert (result.code, result.outcome) == (-1, step.get("outcome", "raised"))
        assert step.get("raises", "") in result.error
        host.log.wait(result.error.splitlines()[-1], rank=rank)
    elif "returns_at_least" in step:
        assert result.code >= step["returns_at_least"], result.error
    else:
        assert (result.code, result.outcome) == (step["returns"], "returned"), result.error
    assert effects.take(result.edits) == step.get("effects", [])
    if "logs" in step:
        assert wait_until(lambda: len(host.log.texts(ERROR, rank)) >= before + step["logs"])
        assert len(host.log.texts(ERROR, rank)) == before + step["logs"]


def check_lines(path: Path, wanted: list[dict[str, Any]]) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(wanted)
    for line, want in zip(lines, wanted, strict=True):
        assert {key: line[key] for key in want} == want


def fill(text: str, places: dict[str, str]) -> str:
    for name, value in places.items():
        text = text.replace(name, value)
    return text
