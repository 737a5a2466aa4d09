"""Calls while the script is reloaded every tenth of a second: does a reload show in their times?"""

import shutil
import tempfile
import threading
import time
from pathlib import Path

from isoexec import Engine
from perf.rivals.isoexec_ranks import HANDLER
from perf.suite import work
from perf.suite.measure import Case, Plan, Samples, WrongAnswerError

RANKS = 2
EVERY = 0.1


def run(plan: Plan) -> Samples:
    seconds = 0.4 if plan.quick else 5.0
    samples: Samples = {"quiet": {"isoexec_queue": []}, "reloads": {"isoexec_queue": []}}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(shutil.copy(HANDLER, folder))
        with Engine(script, ranks=RANKS) as engine:
            for series, reloads in (("quiet", False), ("reloads", True)):
                plan.progress(series)
                samples[series]["isoexec_queue"] = _times(engine, seconds, reloads)
    return samples


def _times(engine: Engine, seconds: float, reloads: bool) -> list[float]:
    stop = threading.Event()

    def reload() -> None:
        while not stop.wait(EVERY):
            engine.reload()

    thread = threading.Thread(target=reload if reloads else stop.wait)
    thread.start()
    times, end = list[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter_ns()
        result = engine.python_exec("reads", work.MESSAGE)
        times.append(float(time.perf_counter_ns() - begin))
        if result.code != work.ANSWERS["reads"]:
            raise WrongAnswerError(f"a call during a reload gave {result.code}: {result.error}")
    stop.set()
    thread.join()
    return times


CASES = [Case("reload", "Times of calls while the script is reloaded", "ns", "less", run)]
