"""Runs the floor program and the case python, and gathers their samples and the machine's noise."""

import contextlib
import os
import platform
import resource
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from perf.floor import build


@dataclass(frozen=True)
class Plan:
    """How much to measure. Each program adds to it: its arguments, in their order."""

    repeats: int

    def arguments(self) -> list[str]:
        return [str(value) for value in astuple(self)]


@dataclass(frozen=True)
class FloorPlan(Plan):
    calls: int
    scale_repeats: int
    scale_seconds: float
    patience: float  # seconds, of calls and of scaling, after which disturbed samples stand
    most_ranks: int


FULL = FloorPlan(
    repeats=31,
    calls=200_000,
    scale_repeats=9,
    scale_seconds=0.2,
    patience=60.0,
    most_ranks=32,
)
QUICK = FloorPlan(
    repeats=5,
    calls=50_000,
    scale_repeats=3,
    scale_seconds=0.1,
    patience=3.0,
    most_ranks=8,
)

HANDLER = build.SOURCES / "handler.py"

type Samples = dict[str, dict[str, list[float]]]


@dataclass
class Results:
    """Everything that was measured: samples by case and side, and what the machine was like."""

    version: str
    plan: Any
    machine: dict[str, str | int] = field(default_factory=lambda: _describe_machine())
    samples: Samples = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    load_before: float = 0.0
    load_after: float = 0.0
    cores_of_others: float = 0.0  # used on average while the cases ran


def _python_flags() -> str:
    """How CPython was configured, without the folders of this machine: the file may be kept."""
    words = shlex.split(str(sysconfig.get_config_var("CONFIG_ARGS") or ""))
    return " ".join(word for word in words if "/" not in word)


def _describe_machine() -> dict[str, str | int]:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_flags": _python_flags(),
        "compiler_flags": " ".join(build.FLAGS),
    }


def _machine_cpu() -> float:
    """Seconds of CPU time that all processes used, without idle and waiting."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 0.0
    ticks = [int(value) for value in stat.read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _own_cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def run_cases(command: list[str], samples: Samples) -> None:
    """Runs a program that prints one line a sample: case, side, value."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise build.FloorError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    for line in done.stdout.splitlines():
        case, side, value = line.split()
        samples[case][side].append(float(value))


def say(text: str) -> None:
    """Tells a person what goes on."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def watched(results: Results) -> Iterator[None]:
    """Notes what other processes did meanwhile."""
    begin, own, busy = os.times().elapsed, _own_cpu(), _machine_cpu()
    results.load_before = os.getloadavg()[0]
    yield
    busy, own = _machine_cpu() - busy, _own_cpu() - own
    results.cores_of_others = max(0.0, (busy - own) / (os.times().elapsed - begin))
    results.load_after = os.getloadavg()[0]


def require_x86() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        raise build.FloorError("the floor is written for x86-64 only.")


def measure_in_c(version: str, plan: FloorPlan, script: Path = HANDLER) -> Results:
    """The C cases alone; the `route` of the script is what ranks do at once."""
    require_x86()
    results = Results(version, plan)
    with tempfile.TemporaryDirectory(prefix="isoexec-floor-") as name:
        program = build.build_program(Path(name))
        with watched(results):
            run_cases([str(program), str(script), *plan.arguments()], results.samples)
    return results


def measure(version: str, plan: FloorPlan) -> Results:
    """Builds and runs all cases."""
    require_x86()
    results = Results(version, plan)
    script = str(HANDLER)
    with tempfile.TemporaryDirectory(prefix="isoexec-floor-") as name:
        folder = Path(name)
        say("floor: building")
        program = build.build_program(folder)
        build.build_extension(folder)
        with watched(results):
            say("floor: running the C cases")
            run_cases([str(program), script, *plan.arguments()], results.samples)
            say("floor: running the case python")
            case = [sys.executable, "-P", str(build.SOURCES / "python_case.py"), name, script]
            run_cases([*case, str(plan.repeats), str(plan.calls)], results.samples)
    return results
