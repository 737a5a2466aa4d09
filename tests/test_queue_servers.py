"""Real programs: UDP servers on 4 ranks answer real datagrams, and every answer is checked."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.corpus import CHECKOUT
from support.run import LIMIT, environment, run

SENDER = Path(__file__).parent / "servers" / "sender.py"
REDIRECT = Path(__file__).parent / "handlers" / "queue_redirect.py"
RANKS = 4


def answer_all(server: str, count: int, folder: Path, end: signal.Signals, limit: float) -> None:
    program = CHECKOUT / "examples" / server
    with subprocess.Popen(
        [sys.executable, str(program), str(REDIRECT), "0", str(RANKS)],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            assert child.stdout is not None
            first = child.stdout.readline()
            assert first.startswith("listening on 127.0.0.1:"), child.communicate(timeout=LIMIT)[1]
            port = first.rpartition(":")[2].strip()
            command = [sys.executable, str(SENDER), port, str(count)]
            said = json.loads(run(command, cwd=folder, limit=limit).expect().out)
            child.send_signal(end)
            out, err = child.communicate(timeout=LIMIT)
        finally:
            child.kill()
    assert (said["right"], said["wrong"], said["lost"]) == (count, 0, 0), said
    assert set(said["ranks"]) <= {str(rank) for rank in range(1, RANKS + 1)}
    assert (out, err, child.returncode) == (f"answered {count}\n", "", 0)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
@pytest.mark.parametrize("server", ["udp_threads.py", "udp_asyncio.py", "udp_trio.py"])
def test_a_server_answers(server: str, end: signal.Signals, tmp_path: Path) -> None:
    answer_all(server, 5000, tmp_path, end, LIMIT)


@pytest.mark.stress
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("server", ["udp_threads.py", "udp_asyncio.py", "udp_trio.py"])
def test_a_server_answers_a_hundred_thousand(server: str, tmp_path: Path) -> None:
    answer_all(server, 100_000, tmp_path, signal.SIGTERM, 1800)
