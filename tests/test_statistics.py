"""Counters that are consistent at any moment, and a histogram that says what hdrhistogram says."""

import threading
import time
import warnings
from collections.abc import Iterator

import pytest

from isoexec import Engine, RankStats
from support.messages import INVITE
from support.queues import BASIC, Gate

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its ctypes structures, on 3.14
    from hdrh.histogram import HdrHistogram

STEP = 1.125
"""A bucket is at most so wide: its upper bound over its lower one."""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(BASIC, ranks=2, timing="full") as engine:
        yield engine


def check(stats: RankStats) -> None:
    assert sum(stats.outcomes.values()) == stats.calls
    assert sum(count for _, count in stats.buckets()) == stats.sampled
    assert stats.sampled <= stats.calls
    assert stats.open


def test_one_picture_is_consistent(engine: Engine) -> None:
    stop = threading.Event()
    calls = [0, 0]

    def work(rank: int) -> None:
        while not stop.is_set():
            engine.python_exec("own", INVITE, "test@192.0.2.1", rank=rank)
            engine.python_exec("raises", INVITE, rank=rank)
            calls[rank - 1] += 2

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (1, 2)]
    for thread in threads:
        thread.start()
    try:
        before = engine.stats()
        for _ in range(500):
            now = engine.stats()
            for old, new in zip(before, now, strict=False):
                check(new)
                assert new.calls >= old.calls
                assert new.opened_ns >= old.opened_ns
            before = now
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for stats, made in zip(engine.stats(), calls, strict=True):
        check(stats)
        assert stats.calls == made
        assert stats.outcomes["returned"] == stats.outcomes["raised"] == made // 2
        assert stats.edits == made


def test_what_waits(engine: Engine) -> None:
    gate = Gate()
    with Engine(BASIC, ranks=1, functions={"gate": gate}) as held:
        running = held.submit("calls", INVITE, "gate")
        gate.wait()
        waiting = [held.submit("one", INVITE, rank=1) for _ in range(25)]
        assert held.stats()[0].waiting == 25
        gate.open()
        assert [handle.result().code for handle in [running, *waiting]] == [1] * 26
        assert held.stats()[0].waiting == 0


def test_age_and_blocks(engine: Engine) -> None:
    engine.look(1, "memory")
    first = engine.stats()[0]
    time.sleep(0.05)
    second = engine.stats()[0]
    assert second.opened_ns - first.opened_ns >= 50_000_000
    assert second.blocks == first.blocks > 1000


def test_the_histogram_is_that_of_hdrhistogram(engine: Engine) -> None:
    """The same times in both: every quantile within one bucket, every count in its place."""
    theirs = HdrHistogram(1, 10_000_000_000, 3)
    times = []
    for number in range(1500):
        extra = f"{(number % 50) ** 2 / 1e6:.6f}"
        result = engine.python_exec("sleep", INVITE, extra, rank=1)
        assert result.elapsed_ns
        times.append(result.elapsed_ns)
        theirs.record_value(result.elapsed_ns)
    stats = engine.stats()[0]
    assert stats.sampled == len(times)
    for p in (0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0):
        ours, wanted = stats.quantile(p), theirs.get_value_at_percentile(p * 100)
        assert wanted / STEP / 1.002 <= ours <= wanted * STEP * 1.002, p
    lows = [low for low, _ in stats.buckets()]
    for low, count in stats.buckets():
        assert count == sum(low <= time < low * STEP + 1 and in_bucket(time, low) for time in times)
    assert lows == sorted(lows)


def in_bucket(time: int, low: int) -> bool:
    """Whether `low` is the lower bound of the bucket that holds `time`: 8 steps an octave."""
    if time < 16:
        return time == low
    shift = time.bit_length() - 4
    return time >> shift << shift == low


def test_sampled_timing_takes_one_call_in_sixteen() -> None:
    with Engine(BASIC, ranks=1) as engine:
        for _ in range(1600):
            engine.python_exec("one", INVITE)
        (stats,) = engine.stats()
        check(stats)
        assert (stats.calls, stats.sampled) == (1600, 100)


def test_statistics_do_not_wait_for_a_rank() -> None:
    gate = Gate()
    with Engine(BASIC, ranks=1, functions={"gate": gate}) as engine:
        held = engine.submit("calls", INVITE, "gate")
        gate.wait()
        assert engine.stats()[0].calls <= 1
        gate.open()
        assert held.result().code == 1
