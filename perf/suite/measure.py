"""How the cases measure: sides in turn, answers checked, samples kept."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from perf.paths import CHECKOUT
from perf.rivals import RIVALS
from perf.rivals.rival import Rival
from perf.suite import work

type Samples = dict[str, dict[str, list[float]]]
"""series -> rival -> samples; the unit stands in the case."""


@dataclass(frozen=True)
class Plan:
    """How much to measure, and with whom."""

    quick: bool = False
    only: frozenset[str] = frozenset()
    progress: Callable[[str], None] = lambda what: None

    def rivals(self, *crosses: str) -> list[type[Rival]]:
        """Those that are wanted, of these kinds if any are named."""
        return [
            rival
            for name, rival in RIVALS.items()
            if (not self.only or name in self.only) and (not crosses or rival.crosses in crosses)
        ]


class WrongAnswerError(Exception):
    """A rival did not do the work: its time says nothing."""


BEST = ""  # the best rival that crosses into an interpreter or a process


@dataclass(frozen=True)
class Promise:
    """`own` over `rival` is at most the bar, or at least if more is better."""

    series: str
    own: str
    rival: str
    bar: float


@dataclass
class Case:
    """One file of `perf/cases`.

    :param unit: of the samples: "ns", "calls/s", "MiB" or "s".
    :param better: "less" or "more".
    """

    name: str
    title: str
    unit: str
    better: str
    run: Callable[[Plan], Samples]
    promises: tuple[Promise, ...] = ()


def check(rival: Rival, method: str, answer: int, count: int = 1) -> None:
    if answer != work.ANSWERS[method] * count:
        raise WrongAnswerError(
            f"{rival.name}: {method} answered {answer}, not {work.ANSWERS[method] * count}"
        )


def time_series(rival: Rival, method: str, count: int) -> float:
    """ns a call, of calls one after another."""
    begin = time.perf_counter_ns()
    total = rival.series(method, work.MESSAGE, count)
    elapsed = time.perf_counter_ns() - begin
    check(rival, method, total, count)
    return elapsed / count


def figure_of(program: str, *arguments: object) -> float:
    """What one of the programs of perf/suite prints, run afresh."""
    words = [sys.executable, "-m", f"perf.suite.{program}", *map(str, arguments)]
    done = subprocess.run(
        words, cwd=CHECKOUT, capture_output=True, check=False, text=True, timeout=120
    )
    if done.returncode:
        raise WrongAnswerError(f"{program} {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return float(done.stdout)


def count_for(rival: Rival, method: str, seconds: float) -> int:
    """How many calls take about so long; this warms the rival too."""
    time_series(rival, method, 1)  # the first opens ranks, and says nothing
    count = 1
    while (spent := time_series(rival, method, count) * count / 1e9) < seconds / 8 and count < 1e6:
        count *= 4
    return max(1, int(count * seconds / max(spent, 1e-9)))


def in_turn(
    rivals: Iterable[type[Rival]], methods: Sequence[str], repeats: int, seconds: float, plan: Plan
) -> Samples:
    """Round trips of each method: all rivals are up at once, and take turns in each repeat."""
    samples: Samples = {method: {} for method in methods}
    with ExitStack() as stack:
        started = [stack.enter_context(rival(1)) for rival in rivals]
        for method in methods:
            plan.progress(method)
            counts = [count_for(rival, method, seconds) for rival in started]
            for _ in range(repeats):
                for rival, count in zip(started, counts, strict=True):
                    figure = time_series(rival, method, count)
                    samples[method].setdefault(rival.name, []).append(figure)
    return samples


def throughput(rival: Rival, method: str, callers: int, seconds: float) -> float:
    """Calls a second of so many threads together, each calling again and again."""
    ready, stop = threading.Barrier(callers + 1), threading.Event()
    counts, faults = [0] * callers, list[BaseException]()

    def work_on(number: int) -> None:
        try:
            with rival.caller(number) as call:
                check(rival, method, call(method, work.MESSAGE))
                ready.wait()
                count, wanted = 0, work.ANSWERS[method]
                while not stop.is_set():
                    if call(method, work.MESSAGE) != wanted:
                        raise WrongAnswerError(f"{rival.name}: a wrong answer to {method}")
                    count += 1
                counts[number - 1] = count
        except BaseException as fault:
            faults.append(fault)
            ready.abort()

    threads = [threading.Thread(target=work_on, args=(n,)) for n in range(1, callers + 1)]
    for thread in threads:
        thread.start()
    try:
        ready.wait()
        begin = time.perf_counter()
        time.sleep(seconds)
    except threading.BrokenBarrierError:
        begin = time.perf_counter()
    stop.set()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - begin
    if faults:
        raise faults[0]
    return sum(counts) / elapsed
