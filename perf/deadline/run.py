"""Builds and runs the deadline program."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from perf.floor import build
from perf.floor.run import Plan, Results, require_x86, run_cases, say, watched

SOURCES = Path(__file__).resolve().parent
OF_THE_FLOOR = ["worker.c", "side_isoexec.c", "rank.c", "index.c"]


@dataclass(frozen=True)
class DeadlinePlan(Plan):
    calls: int  # per sample of the cost
    late: int  # calls that are ended, per case


FULL = DeadlinePlan(repeats=31, calls=200_000, late=200)
QUICK = DeadlinePlan(repeats=5, calls=50_000, late=20)


def measure(version: str, plan: DeadlinePlan) -> Results:
    """Builds and runs all cases."""
    require_x86()
    results = Results(version, plan)
    scripts = [str(build.SOURCES / "handler.py"), str(SOURCES / "late.py")]
    with tempfile.TemporaryDirectory(prefix="isoexec-deadline-") as name:
        program = Path(name) / "deadline"
        say("deadline: building")
        flags = build.config("--cflags", "--libs")
        build.compile_sources([str(SOURCES / "main.c"), *OF_THE_FLOOR], flags, program)
        with watched(results):
            say("deadline: running")
            run_cases([str(program), *scripts, *plan.arguments()], results.samples)
    return results
