"""Builds and runs the hand-off program and the case async."""

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from perf.floor import build
from perf.floor.run import Plan, Results, require_x86, run_cases, say, watched

SOURCES = Path(__file__).resolve().parent
PROGRAM = [str(SOURCES / name) for name in ("main.c", "bare.c", "throughput.c")]
OF_THE_FLOOR = ["worker.c", "pace.c", "side_isoexec.c", "rank.c", "index.c"]


@dataclass(frozen=True)
class HandoffPlan(Plan):
    round_trips: int  # per sample
    messages: int  # per sample of the case drained
    seconds: float  # per sample of the case throughput
    idle_seconds: float
    tries: int  # of a repeat, while its sides have different cores
    awaits: int  # per sample of the case async, which is no argument of the program


FULL = HandoffPlan(
    repeats=31,
    round_trips=4000,
    messages=40_000,
    seconds=0.3,
    idle_seconds=2.0,
    tries=20,
    awaits=1000,
)
QUICK = HandoffPlan(
    repeats=5,
    round_trips=5000,
    messages=50_000,
    seconds=0.1,
    idle_seconds=1.0,
    tries=1,
    awaits=200,
)


def measure(version: str, plan: HandoffPlan) -> Results:
    """Builds and runs all cases."""
    require_x86()
    results = Results(version, plan)
    script, busy = build.SOURCES / "handler.py", SOURCES / "busy.py"
    with tempfile.TemporaryDirectory(prefix="isoexec-handoff-") as name:
        program, message = Path(name) / "handoff", Path(name) / "message"
        say("handoff: building")
        flags = build.config("--cflags", "--libs")
        build.compile_sources([*PROGRAM, *OF_THE_FLOOR], flags, program)
        message.write_bytes(INVITE)
        with watched(results):
            say("handoff: running the C cases")
            numbers = plan.arguments()[:-1]
            run_cases([str(program), str(script), str(busy), *numbers], results.samples)
            say("handoff: running the case async")
            case = [sys.executable, "-P", str(SOURCES / "async_case.py"), str(script), str(message)]
            run_cases([*case, str(plan.repeats), str(plan.awaits)], results.samples)
    return results


INVITE = (
    b"INVITE sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKhand\r\n"
    b"From: <sip:alice@example.com>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: 1@192.0.2.1\r\n"
    b"CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)
