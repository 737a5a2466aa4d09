"""Builds the floor program and the floor extension against the installed wheel."""

import importlib.metadata
import os
import shlex
import subprocess
import sys
from pathlib import Path

import orjson

SOURCES = Path(__file__).resolve().parent
# The library's release build: meson's buildtype release with b_ndebug, c_std gnu17.
FLAGS = ["-std=gnu17", "-O3", "-DNDEBUG", "-fPIC", "-fvisibility=hidden", "-pthread"]
RANK = ["rank.c", "index.c"]
PROGRAM = [
    "main.c",
    "calls.c",
    "forks.c",
    "index_case.c",
    "pace.c",
    "scale.c",
    "worker.c",
    "side_floor.c",
    "side_isoexec.c",
]


class FloorError(Exception):
    """The measurement can not be made; the text is one sentence for the user."""


def require_wheel() -> str:
    """The version of the installed isoexec; an editable install is refused."""
    try:
        distribution = importlib.metadata.distribution("isoexec")
    except importlib.metadata.PackageNotFoundError:
        raise FloorError("isoexec is not installed for this Python; install its wheel.") from None
    origin = orjson.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        raise FloorError(
            "isoexec is installed editable, which is not a release build; install its wheel."
        )
    return distribution.version


def config(*options: str) -> list[str]:
    """What `isoexec config` prints; -P keeps the working folder off sys.path."""
    command = [sys.executable, "-P", "-m", "isoexec", "config", *options]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise FloorError(f"`isoexec config` failed: {answer.stderr.strip()}")
    return shlex.split(answer.stdout)


def compile_sources(sources: list[str], flags: list[str], target: Path) -> None:
    """Compiles files of this folder, or of any other by its path, as the library is compiled."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    paths = [str(SOURCES / name) for name in sources]
    command = [*compiler, *FLAGS, *paths, *flags, "-o", str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise FloorError(f"no C compiler: {compiler[0]} was not found; install gcc.") from None
    if done.returncode:
        raise FloorError(f"{target.name} does not compile:\n{done.stderr.strip()}")


def build_program(folder: Path) -> Path:
    """The C program with both sides."""
    target = folder / "floor"
    compile_sources(PROGRAM + RANK, config("--cflags", "--libs"), target)
    return target


def build_extension(folder: Path) -> None:
    """The extension module floor_proto, for the case python."""
    flags = [*config("--cflags"), "-shared"]
    compile_sources(["proto.c", *RANK], flags, folder / "floor_proto.so")
