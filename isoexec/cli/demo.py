"""``isoexec demo``: real messages through an example handler, in parallel ranks."""

import os
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import click

from isoexec import Engine, RankStats
from isoexec.cli.common import EXIT_FAILED, EXIT_GOOD, failures, show_json, show_table

FOLDER = Path(__file__).resolve().parent.parent / "demo"
METHOD = "route"
CODE = attrgetter("code")
BUSY = 0.9  # a rank that got less of a core was held up by other programs
SOURCE = ("192.0.2.44", 5060)
DESTINATION = ("198.51.100.5", 5060)


@dataclass(slots=True)
class Work:
    """What one rank did."""

    calls: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    codes: Counter[int] = field(default_factory=Counter)
    error: BaseException | None = None


@click.command()
@click.option(
    "--ranks",
    type=click.IntRange(1, 64),
    default=lambda: max(2, min(os.cpu_count() or 2, 8)),
    show_default="one a core, 2 to 8",
    help="How many ranks to run.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 60),
    default=1.5,
    show_default=True,
    help="How long each measurement takes.",
)
@click.option("--json", "as_json", is_flag=True, help="Prints one JSON document.")
def demo(ranks: int, seconds: float, as_json: bool) -> None:
    """Runs the messages of the package through its example handler and shows a table per rank.

    Then compares one rank with two, which shows that ranks really run in parallel.
    """
    messages = [path.read_bytes() for path in sorted(FOLDER.glob("*.sip"))]
    script = FOLDER / "handler.py"
    plan = [ranks, 1, 2]
    shown_on = sys.stderr if as_json else None
    if not as_json:
        click.echo(f"{len(messages)} messages through {METHOD}() of {script}")
    with failures():
        with click.progressbar(plan, label="measuring", file=shown_on) as bar:
            runs = [(number, *_measure(script, number, messages, seconds)) for number in bar]
    report = _report(runs)
    if as_json:
        show_json(report)
    else:
        _show(report)
    click.get_current_context().exit(EXIT_GOOD if report["failed"] == 0 else EXIT_FAILED)


def _measure(
    script: Path, ranks: int, messages: list[bytes], seconds: float
) -> tuple[list[Work], list[RankStats]]:
    """Runs the messages round and round in `ranks` threads for some seconds."""
    works = [Work() for _ in range(ranks)]
    ready = threading.Barrier(ranks)
    with Engine(script, ranks=ranks, channel="inline") as engine:
        threads = [
            threading.Thread(target=_serve, args=(engine, i + 1, work, messages, seconds, ready))
            for i, work in enumerate(works)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stats = engine.stats()
    for work in works:
        if work.error is not None:
            raise work.error
    return works, stats


def _serve(
    engine: Engine,
    number: int,
    work: Work,
    messages: list[bytes],
    seconds: float,
    ready: threading.Barrier,
) -> None:
    """One worker: a batch of all messages at a time, as a proxy serves what has arrived."""
    try:
        with engine.open_rank(number) as rank:
            ready.wait()
            burst = messages * 20
            begin, cpu_begin = time.perf_counter(), time.thread_time()
            while work.seconds < seconds:
                results = rank.batch(METHOD, burst, source=SOURCE, destination=DESTINATION)
                work.calls += len(results)
                work.codes.update(map(CODE, results))
                work.seconds = time.perf_counter() - begin
            work.cpu_seconds = time.thread_time() - cpu_begin
    except threading.BrokenBarrierError:
        pass  # another rank did not start, and says why
    except BaseException as error:
        work.error = error
        ready.abort()


def _report(runs: list[tuple[int, list[Work], list[RankStats]]]) -> dict[str, Any]:
    _, works, stats = runs[0]
    per_rank = [
        {
            "rank": row.number,
            "calls": row.calls,
            "codes": dict(sorted(work.codes.items())),
            "edits": row.edits,
            "p50_ns": row.quantile(0.5),
            "p99_ns": row.quantile(0.99),
            "calls_per_second": round(work.calls / work.seconds),
        }
        for work, row in zip(works, stats, strict=True)
    ]
    speeds = {n: sum(work.calls / work.seconds for work in done) for n, done, _ in runs[1:]}
    everyone = [work for _, done, _ in runs for work in done]
    failed = sum(row.calls - row.outcomes["returned"] for _, _, rows in runs for row in rows)
    return {
        "ranks": per_rank,
        "one_rank_calls_per_second": round(speeds[1]),
        "two_ranks_calls_per_second": round(speeds[2]),
        "two_to_one": round(speeds[2] / speeds[1], 3),
        "cores": os.cpu_count(),
        "core_share": round(min(work.cpu_seconds / work.seconds for work in everyone), 3),
        "failed": failed,
    }


def _show(report: dict[str, Any]) -> None:
    rows = [
        (
            str(row["rank"]),
            f"{row['calls']:,}",
            " ".join(f"{code}:{count:,}" for code, count in row["codes"].items()),
            f"{row['edits']:,}",
            f"{row['p50_ns'] / 1000:.2f}",
            f"{row['p99_ns'] / 1000:.2f}",
            f"{row['calls_per_second']:,}",
        )
        for row in report["ranks"]
    ]
    click.echo()
    show_table(("rank", "calls", "codes", "edits", "p50 us", "p99 us", "calls/s"), rows)
    click.echo()
    one, two = (report[f"{n}_calls_per_second"] for n in ("one_rank", "two_ranks"))
    times = f"{report['two_to_one']:.2f} times as many"
    click.echo(
        f"1 rank: {one:,} calls/s, 2 ranks: {two:,} calls/s, {times} ({report['cores']} cores)"
    )
    if report["core_share"] < BUSY:
        share = f"{report['core_share']:.0%}"
        click.echo(
            f"The machine is busy: a rank got {share} of a core, so the comparison is too low."
        )
    if report["failed"]:
        click.echo(f"{report['failed']} calls failed; the log above says why", err=True)
