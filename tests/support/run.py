"""Child processes: Python hosts, C hosts and commands, each with a time limit."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.corpus import CHECKOUT

LIMIT = 60.0  # seconds


@dataclass
class Ended:
    """How a child process ended. `code` is negative for a signal."""

    code: int
    out: str
    err: str

    def expect(self, code: int = 0) -> "Ended":
        assert self.code == code, f"exit code {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"
        return self


def run(
    command: list[str],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: bytes | None = None,
    limit: float = LIMIT,
) -> Ended:
    """Runs a command to its end. A child that does not end in time is killed: the test fails."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            out, err = child.communicate(stdin, timeout=limit)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGABRT)
            out, err = child.communicate()
            pytest.fail(f"{shlex.join(command)} did not end in {limit} s\n{text(out)}\n{text(err)}")
        return Ended(child.returncode, text(out), text(err))


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """This process' environment without what would change a child's Python."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "ISOEXEC_"))
    }
    return {
        **kept,
        "PYTHONPATH": str(CHECKOUT / "tests"),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(extra or {}),
    }


def text(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace")


def run_python(code: str, folder: Path, *arguments: str, **options: object) -> Ended:
    """Runs a Python host. It starts in `folder`, so that the checkout does not shadow the wheel."""
    program = folder / "host.py"
    program.write_text(textwrap.dedent(code), encoding="utf-8")
    return run([sys.executable, str(program), *arguments], cwd=folder, **options)  # type: ignore[arg-type]


def run_isoexec(*arguments: str, cwd: Path, **options: object) -> Ended:
    """Runs the isoexec command of this Python."""
    return run([sys.executable, "-m", "isoexec", *arguments], cwd=cwd, **options)  # type: ignore[arg-type]


def compiler() -> str:
    found = shutil.which(os.environ.get("CC", "cc"))
    if found is None:
        pytest.skip("no C compiler")
    return found


def compile_host(source: Path, folder: Path) -> Path:
    """Compiles a C host as the README says: the flags of `isoexec config` after the source."""
    flags = run_isoexec("config", "--cflags", "--libs", cwd=folder).expect().out
    program = folder / source.stem
    command = [compiler(), str(source), *shlex.split(flags), "-o", str(program)]
    run(command, cwd=folder).expect()
    return program
