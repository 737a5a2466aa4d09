"""The field cases of the corpus that run a script."""

import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from support import corpus
from support.host import Host
from support.run import environment


class Functions:
    """Host functions that count; `append_hf` is the only one that these scripts find."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def append_hf(self, call: Any, *arguments: Any) -> int:
        self.calls.append(arguments)
        return 1


@pytest.mark.parametrize("case", corpus.case_params("calls"))
def test_calls(case: corpus.Line) -> None:
    run, functions = case["run"], Functions()
    script = corpus.case_file(run["script"])
    with Host(script, run.get("ranks", 1), functions={"append_hf": functions.append_hf}) as host:
        for rank in host.ranks:
            for call in run["calls"]:
                if "sleep" in call:
                    time.sleep(call["sleep"])
                    continue
                functions.calls.clear()
                message = corpus.case_file(call["message"]).read_bytes()
                check(
                    host.call(call["method"], message, rank=rank, extra=call.get("extra")),
                    call,
                    functions,
                )


def check(result: Any, call: corpus.Line, functions: Functions) -> None:
    if call.get("fails"):
        assert result.code == -1
        assert result.outcome != "returned"
        assert call["method"] in result.error
    elif "returns_at_least" in call:
        assert result.code >= call["returns_at_least"], result.error
    else:
        assert (result.code, result.outcome) == (call["returns"], "returned"), result.error
    if "ruri" in call:
        assert result.new_uri == call["ruri"]
    if "effects" in call:
        wanted = [(f"X-{k}: {'y' * k}\r\n",) for k in range(call["effects"])]
        assert functions.calls == wanted


@pytest.mark.parametrize("case", corpus.case_params("parallel"))
@pytest.mark.parametrize("busy", ["slow", "burn"])
def test_a_busy_rank_does_not_stop_the_others(case: corpus.Line, busy: str) -> None:
    """Rank 2 answers 100 calls while rank 1 is in one; a loaded machine may need a second try."""
    message = corpus.case_file("block.sip").read_bytes()
    with Host(corpus.case_file(case["run"]["script"]), 2) as host:
        for _ in range(3):
            held: Future[Any] = host.ranks[1].submit(lambda rank: rank.python_exec(busy, message))
            codes = [host.call("fine", message, rank=2).code for _ in range(100)]
            in_time = not held.done()
            assert held.result(30).code == 1
            assert codes == [7] * 100
            if in_time:
                return
    pytest.fail("100 calls of rank 2 took longer than one of rank 1, three times")


LIFECYCLE = """
    import signal, sys, threading
    from isoexec import Engine

    script, message, handled = sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3] == "handled"
    engine = Engine(script, ranks=1, channel="inline", grace=1)

    def stop(number, frame):
        raise SystemExit(0)

    def serve():
        with engine.open_rank(1) as rank:
            print("calling", flush=True)
            rank.python_exec("slow", message)

    if handled:
        signal.signal(signal.SIGTERM, stop)
    worker = threading.Thread(target=serve)
    worker.start()
    try:
        worker.join()
    finally:
        engine.close()
"""


@pytest.mark.parametrize("case", corpus.case_params("lifecycle"))
@pytest.mark.parametrize("kind", ["handled", "default"])
def test_sigterm_in_a_call_ends_the_host(case: corpus.Line, kind: str, tmp_path: Path) -> None:
    program = tmp_path / "host.py"
    program.write_text(textwrap.dedent(LIFECYCLE), encoding="utf-8")
    script, message = (str(corpus.case_file(name)) for name in ("exit.py", "exit.sip"))
    command = [sys.executable, str(program), script, message, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment(), cwd=tmp_path) as host:
        assert host.stdout is not None
        try:
            assert host.stdout.readline() == b"calling\n"
            time.sleep(0.2)
            host.send_signal(signal.SIGTERM)
            assert host.wait(case["run"]["limit_s"]) == (
                0 if kind == "handled" else -signal.SIGTERM
            )
        finally:
            host.kill()
