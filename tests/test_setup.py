"""tools/setup in a tree of its own: what a killed run leaves does not stop the next one."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = '[dependency-groups]\ntiny = ["click"]\n'
SECONDS = 120


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tools").mkdir()
    shutil.copy2(ROOT / "tools" / "setup", tmp_path / "tools" / "setup")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path


def start(tree: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(tree / "tools" / "setup"), "--no-build", "tiny"],
        env={**os.environ, "PYTHON": str(Path(sys.base_prefix) / "bin" / "python3")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def unfinished(tree: Path) -> list[Path]:
    return list(tree.glob(".venv/*/.unfinished"))


def kill_while_pip_installs(tree: Path) -> None:
    process = start(tree)
    end = time.monotonic() + SECONDS
    while not unfinished(tree):
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_run_after_one_that_was_killed_makes_the_venv_anew(tree: Path) -> None:
    kill_while_pip_installs(tree)
    (marked,) = unfinished(tree)
    left = marked.parent / "of-the-killed-run"
    left.touch()
    process = start(tree)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    venv = Path(out.strip())
    assert not left.exists() and not unfinished(tree)
    subprocess.run([venv / "bin" / "python", "-I", "-c", "import click"], check=True)


def test_a_run_that_ended_is_built_on(tree: Path) -> None:
    venvs = []
    for _ in range(2):
        process = start(tree)
        out, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, err
        venvs.append(Path(out.strip()))
        (venvs[0] / "kept").touch()
    assert "install" not in err
    assert (venvs[1] / "kept").exists()
