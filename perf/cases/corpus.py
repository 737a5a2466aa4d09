"""A message of a corpus indexed, and rendered with the edits of a forwarding method."""

import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from email.parser import BytesHeaderParser
from pathlib import Path

import isoexec
from perf.floor import build
from perf.floor.run import run_cases
from perf.rivals.isoexec_ranks import HANDLER
from perf.suite.measure import Case, Plan, Samples

SOURCES = Path(__file__).resolve().parent.parent / "corpus"
# Messages of the package, and those of a corpus folder if one is named.
FOLDERS = (Path(isoexec.__file__).parent / "demo", Path(os.environ.get("ISOEXEC_CORPUS", "-")))
SUFFIXES = (".sip", ".dat")


def by_split(message: bytes) -> None:
    head, _, _ = message.partition(b"\r\n\r\n")
    start, *rows = head.split(b"\r\n")
    start.split(b" ", 2)
    {
        name.strip().lower(): value.strip()
        for name, _, value in (row.partition(b":") for row in rows)
    }


def by_email(message: bytes) -> None:
    BytesHeaderParser().parsebytes(message.partition(b"\r\n")[2])


def by_join(message: bytes) -> None:
    """The R-URI's host changed and a row added, as the edits do."""
    method, uri, rest = message.split(b" ", 2)
    head, _, body = rest.partition(b"\r\n\r\n")
    user = uri.partition(b"@")[0]
    b" ".join((method, user + b"@192.0.2.1", head)) + b"\r\nX-Carrier: one\r\n\r\n" + body


PYTHON = {"index": {"str_split": by_split, "email_parser": by_email}, "render": {"join": by_join}}


def files() -> list[Path]:
    found = (path for folder in FOLDERS for path in sorted(folder.rglob("*")))
    return [path for path in found if path.suffix in SUFFIXES]


def time_all(function: Callable[[bytes], None], messages: list[bytes], rounds: int) -> float:
    begin = time.thread_time_ns()
    for _ in range(rounds):
        for message in messages:
            function(message)
    return (time.thread_time_ns() - begin) / (rounds * len(messages))


def run(plan: Plan) -> Samples:
    repeats, rounds = (2, 20) if plan.quick else (15, 500)
    paths = files()
    messages = [path.read_bytes() for path in paths]
    messages = [
        message for message in messages if message.count(b" ", 0, message.find(b"\r\n")) > 1
    ]
    samples: Samples = defaultdict(lambda: defaultdict(list))
    plan.progress(f"{len(paths)} messages in C")
    with tempfile.TemporaryDirectory(prefix="isoexec-corpus-") as folder:
        program = Path(folder) / "corpus"
        build.compile_sources(
            [str(SOURCES / "main.c")], build.config("--cflags", "--libs"), program
        )
        words = [str(program), str(HANDLER), str(repeats), str(rounds), *map(str, paths)]
        run_cases(words, samples)
    for series, functions in PYTHON.items():
        for name, function in functions.items():
            plan.progress(name)
            figures = [time_all(function, messages, max(1, rounds // 50)) for _ in range(repeats)]
            samples[series][name] = figures
    return {series: dict(sides) for series, sides in samples.items()}


CASES = [Case("corpus", "One message of the corpus", "ns", "less", run)]
