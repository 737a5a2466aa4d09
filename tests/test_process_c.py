"""C hosts in processes of their own: the example, and what only a host that is not Python shows."""

import subprocess
from pathlib import Path

import pytest

from support.corpus import CARRIED, CHECKOUT
from support.messages import INVITE, OPTIONS
from support.run import compile_host, run
from support.scripts import STDLIB, ending_tests

EMBED = CHECKOUT / "examples" / "embed.c"


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_host(EMBED, tmp_path_factory.mktemp("embed"))


@pytest.fixture
def message(tmp_path: Path) -> Path:
    path = tmp_path / "message.sip"
    path.write_bytes(INVITE)
    return path


def script(folder: Path, text: str) -> Path:
    path = folder / "handler.py"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("ranks", [1, 4])
def test_the_example_runs_a_script(embed: Path, message: Path, ranks: int) -> None:
    command = [
        str(embed),
        str(CARRIED / "handlers" / "h11_rank_state.py"),
        "bump",
        str(message),
        str(ranks),
        "1000",
    ]
    ended = run(command).expect()
    assert ended.out == f"ranks {ranks}, calls {ranks * 1000}, failed 0\n"
    assert ended.err.count("rank state: module made") == ranks


def test_failed_calls_give_the_exit_code(embed: Path, message: Path) -> None:
    command = [
        str(embed),
        str(CARRIED / "handlers" / "h11_rank_state.py"),
        "absent",
        str(message),
        "2",
        "5",
    ]
    ended = run(command).expect(1)
    assert ended.out == "ranks 2, calls 10, failed 10\n"
    assert "absent" in ended.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def mod_init(:", "SyntaxError"),
        ("def mod_init(): raise ValueError('at start')", "ValueError: at start"),
    ],
)
def test_a_script_that_does_not_start(
    embed: Path, message: Path, tmp_path: Path, text: str, says: str
) -> None:
    ended = run([str(embed), str(script(tmp_path, text)), "go", str(message), "2", "5"]).expect(1)
    assert says in ended.err
    assert "failed 0" in ended.out


def test_a_missing_script(embed: Path, message: Path, tmp_path: Path) -> None:
    ended = run([str(embed), str(tmp_path / "absent.py"), "go", str(message)]).expect(1)
    assert "absent.py" in ended.err


def test_usage(embed: Path) -> None:
    assert "usage" in run([str(embed)]).expect(2).err


@pytest.mark.parametrize(
    "what", ["sys.exit(5)", "raise KeyboardInterrupt", "raise SystemExit('bye')"]
)
def test_a_method_can_not_end_the_host(
    embed: Path, message: Path, tmp_path: Path, what: str
) -> None:
    text = (
        "import sys\n"
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        f"    def go(self, msg): {what}\n"
        "def mod_init(): return H()\n"
    )
    ended = run([str(embed), str(script(tmp_path, text)), "go", str(message), "2", "5"]).expect(1)
    assert ended.out == "ranks 2, calls 10, failed 10\n"


def test_a_write_to_a_closed_socket_does_not_end_the_host(
    embed: Path, message: Path, tmp_path: Path
) -> None:
    text = (
        "import os, socket\n"
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def go(self, msg):\n"
        "        near, far = socket.socketpair()\n"
        "        far.close()\n"
        "        with near:\n"
        "            try: os.write(near.fileno(), b'x')\n"
        "            except BrokenPipeError: return 1\n"
        "        return -1\n"
        "def mod_init(): return H()\n"
    )
    run([str(embed), str(script(tmp_path, text)), "go", str(message), "2", "5"]).expect()


def test_threads_of_a_script_in_a_c_host(embed: Path, message: Path, tmp_path: Path) -> None:
    text = (
        "import threading\n"
        "class H:\n"
        "    def child_init(self, rank):\n"
        "        threading.Thread(target=lambda: None).start()\n"
        "        return 0\n"
        "    def go(self, msg):\n"
        "        thread = threading.Thread(target=lambda: None)\n"
        "        thread.start()\n"
        "        thread.join()\n"
        "        return 1\n"
        "def mod_init(): return H()\n"
    )
    run([str(embed), str(script(tmp_path, text)), "go", str(message), "4", "20"]).expect()


def test_the_scripts_own_packages_come_from_the_venv(
    embed: Path, message: Path, tmp_path: Path
) -> None:
    """Python in a C host has the packages of the venv that holds the library."""
    text = (
        "import sysconfig, sys\n"
        "import isoexec\n"
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def go(self, msg): return 1\n"
        "def mod_init(): return H()\n"
    )
    run([str(embed), str(script(tmp_path, text)), "go", str(message), "1", "1"]).expect()


@ending_tests
def test_many_modules_of_the_library(embed: Path, tmp_path: Path, calls: int) -> None:
    """8 ranks import widely at once, run, and stop with exit code 0."""
    message = tmp_path / "message.sip"
    message.write_bytes(OPTIONS)
    command = [str(embed), str(script(tmp_path, STDLIB)), "go", str(message), "8", str(calls // 8)]
    ended = run(command, limit=180).expect()
    assert ended.out == f"ranks 8, calls {calls // 8 * 8}, failed 0\n"


def test_the_header_stands_alone(tmp_path: Path) -> None:
    """A C and a C++ program that include the header and nothing else compile without a warning."""
    source = tmp_path / "alone.c"
    source.write_text(
        "#include <isoexec.h>\nint main(void) { return iso_version() == 0; }\n", encoding="utf-8"
    )
    program = compile_host(source, tmp_path)
    assert subprocess.run([program], check=False).returncode == 0
