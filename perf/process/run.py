"""Runs the cases of process ranks."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from perf.floor import build
from perf.floor.run import Results, run_cases, say, watched

SOURCES = Path(__file__).resolve().parent
LENGTH = 700  # octets of the message


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    repeats: int
    round_trips: int  # per sample
    paced: int  # calls, over all repeats
    idle_seconds: float


FULL = Plan(repeats=15, round_trips=20_000, paced=600, idle_seconds=5.0)
QUICK = Plan(repeats=5, round_trips=4000, paced=100, idle_seconds=1.0)


def measure(version: str, plan: Plan) -> Results:
    """Runs all cases."""
    results = Results(version, plan)
    with tempfile.TemporaryDirectory(prefix="isoexec-process-") as name:
        message = Path(name) / "message"
        message.write_bytes(HEAD + b"p" * (LENGTH - len(HEAD) - 4) + b"\r\n\r\n")
        say("process: running")
        program = [sys.executable, "-P", str(SOURCES / "pipe_case.py")]
        script = str(build.SOURCES / "handler.py")
        numbers = (plan.repeats, plan.round_trips, plan.paced, plan.idle_seconds)
        with watched(results):
            run_cases([*program, script, str(message), *map(str, numbers)], results.samples)
    return results


HEAD = (
    b"INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKproc\r\n"
    b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: 1@192.0.2.1\r\n"
    b"CSeq: 1 INVITE\r\nContent-Length: 0\r\nX-Rest: "
)
