"""What one more rank costs in memory: proportional set size of the program and its processes."""

import subprocess
import sys

from perf.paths import CHECKOUT
from perf.suite.measure import Case, Plan, Samples

LOADS = ("bare", "imports", "table")
RANKS = 8


def run(plan: Plan) -> Samples:
    samples: Samples = {}
    for _ in range(1 if plan.quick else 3):
        for kind in ("isoexec", "isoexec_main", "isoexec_process", "fork", "spawn"):
            if plan.only and kind not in plan.only:
                continue
            for load in LOADS:
                plan.progress(f"{load} in {kind}")
                program = [
                    sys.executable,
                    "-m",
                    "perf.suite.memory_program",
                    kind,
                    load,
                    str(RANKS),
                ]
                done = subprocess.run(
                    program, cwd=CHECKOUT, capture_output=True, check=True, text=True, timeout=120
                )
                samples.setdefault(load, {}).setdefault(kind, []).append(float(done.stdout))
    return samples


CASES = [Case("memory", "Memory of one more rank", "MiB", "less", run)]
