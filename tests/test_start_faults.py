"""Scripts that do not start: the error holds the reason, and nothing is left running."""

import os
import py_compile
import threading
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, errors
from support.host import Host, RankThread, inline

GOOD = """
class Handler:
    def child_init(self, rank):
        return 0
    def fine(self, msg):
        return 7
def mod_init():
    return Handler()
"""

# What is wrong with the script, the script, and what the error must say.
BROKEN = {
    "not Python": ("\x7fELF not python at all", "SyntaxError"),
    "NUL": ("x = 1\0", "null bytes"),
    "syntax error": ("def mod_init(:\n    pass\n", "SyntaxError"),
    "bad encoding": ("# coding: no-such-coding\n", "no-such-coding"),
    "raises on import": ("raise LookupError('on import')\n", "LookupError: on import"),
    "exits on import": ("import sys\nsys.exit(3)\n", "SystemExit"),
    "imports what is not there": ("import no_such_module_here\n", "no_such_module_here"),
    "no mod_init": ("x = 1\n", "mod_init"),
    "mod_init is no function": ("mod_init = 5\n", "mod_init"),
    "mod_init raises": ("def mod_init():\n    raise ValueError('begin')\n", "ValueError: begin"),
    "mod_init exits": ("import sys\ndef mod_init():\n    sys.exit('bye')\n", "SystemExit"),
    "mod_init interrupts": ("def mod_init():\n    raise KeyboardInterrupt\n", "KeyboardInterrupt"),
    "mod_init returns None": ("def mod_init():\n    pass\n", "None"),
    "mod_init wants an argument": ("def mod_init(x):\n    return x\n", "mod_init"),
    "no child_init": ("def mod_init():\n    return object()\n", "child_init"),
    "child_init is no method": (GOOD + "Handler.child_init = 0\n", "child_init"),
    "child_init returns None": (GOOD.replace("return 0", "pass"), "None"),
    "child_init is negative": (GOOD.replace("return 0", "return -1"), "negative"),
    "child_init raises": (GOOD.replace("return 0", "raise OSError('begin')"), "OSError: begin"),
    "child_init exits": (GOOD.replace("return 0", "raise SystemExit(4)"), "SystemExit"),
    "child_init is text": (GOOD.replace("return 0", "return 'x'"), "str"),
    "child_init is huge": (GOOD.replace("return 0", "return 1 << 80"), "child_init"),
    "child_init takes nothing": (GOOD.replace("(self, rank)", "(self)"), "child_init"),
}  # fmt: skip


def start(script: Path, **settings: Any) -> None:
    with Host(script, **settings) as host:
        assert host.call("fine").code == 7


@pytest.mark.parametrize(("text", "says"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_script_does_not_start(text: str, says: str, tmp_path: Path) -> None:
    script = tmp_path / "handler.py"
    script.write_text(text, encoding="utf-8")
    before = threading.active_count()
    with pytest.raises(errors.IsoexecError) as caught:
        start(script)
    assert says in f"{caught.value}\n{caught.value.traceback}"
    assert threading.active_count() == before
    script.write_text(GOOD, encoding="utf-8")
    os.utime(script, (1, 1))
    start(script)


def test_the_traceback_names_file_and_line(tmp_path: Path) -> None:
    script = tmp_path / "handler.py"
    script.write_text(
        "def mod_init():\n    return helper()\ndef helper():\n    return 1 / 0\n", encoding="utf-8"
    )
    with pytest.raises(errors.IsoexecError) as caught:
        start(script)
    assert 'handler.py", line 4, in helper' in caught.value.traceback
    assert "ZeroDivisionError" in caught.value.traceback


def test_the_script_is_missing(tmp_path: Path) -> None:
    with pytest.raises(errors.IsoexecError, match=r"absent\.py"):
        start(tmp_path / "absent.py")


@pytest.mark.parametrize("name", ["handler.txt", "handler", ".py", "handler.PY", "handler.so"])
def test_the_name_is_not_of_a_script(name: str, tmp_path: Path) -> None:
    script = tmp_path / name
    script.write_text(GOOD, encoding="utf-8")
    with pytest.raises(errors.IsoexecError, match=r"\.py"):
        start(script)


@pytest.mark.parametrize("name", ["", None])
def test_no_script(name: Any) -> None:
    with pytest.raises((errors.IsoexecError, TypeError), match="script"):
        Engine(name, **inline({}))


def test_the_script_is_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "handler.py"
    folder.mkdir()
    with pytest.raises(errors.IsoexecError, match=r"handler\.py"):
        start(folder)


def test_an_unreadable_script(tmp_path: Path) -> None:
    script = tmp_path / "handler.py"
    script.symlink_to(tmp_path / "handler.py")
    with pytest.raises(errors.IsoexecError, match=r"handler\.py"):
        start(script)


@pytest.mark.parametrize(
    "name",
    [
        "handler.py",
        "a.b.py",
        "re.py",
        "json.py",
        "logging.py",
        "with blank.py",
        "\u03bb.py",
        "class.py",
    ],
)
def test_names_that_work(name: str, tmp_path: Path) -> None:
    """Loaded from its path, so its name needs to be no module name, nor one that is free."""
    script = tmp_path / name
    script.write_text(GOOD, encoding="utf-8")
    start(script)


def test_a_stdlib_like_name_does_not_hide_the_stdlib(tmp_path: Path) -> None:
    script = tmp_path / "re.py"
    text = "import fnmatch, string\nassert string.Template('$a').substitute(a=1) == '1'\n" + GOOD
    script.write_text(text, encoding="utf-8")
    start(script)


def test_a_compiled_script(tmp_path: Path) -> None:
    source, script = tmp_path / "source.py", tmp_path / "handler.pyc"
    source.write_text(GOOD, encoding="utf-8")
    py_compile.compile(str(source), cfile=str(script), doraise=True)
    source.unlink()
    start(script)


def test_a_compiled_script_that_is_none(tmp_path: Path) -> None:
    script = tmp_path / "handler.pyc"
    script.write_bytes(b"not byte code at all")
    with pytest.raises(errors.IsoexecError):
        start(script)


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found from the working folder, and neighbours are importable wherever the host goes later."""
    (tmp_path / "beside.py").write_text("answer = 7\n", encoding="utf-8")
    text = GOOD.replace("return 7", "import beside; return beside.answer")
    (tmp_path / "handler.py").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with Host("handler.py") as host:
        monkeypatch.chdir("/")
        assert host.call("fine").code == 7


def test_other_function_names(tmp_path: Path) -> None:
    script = tmp_path / "handler.py"
    script.write_text(
        GOOD.replace("mod_init", "begin").replace("child_init", "per_rank"), encoding="utf-8"
    )
    start(script, mod_init_function="begin", child_init_method="per_rank")
    with pytest.raises(errors.IsoexecError, match="mod_init"):
        start(script)


def test_child_init_hears_the_rank(tmp_path: Path) -> None:
    script = tmp_path / "handler.py"
    text = GOOD.replace("return 0", "self.rank = rank; return rank").replace(
        "return 7", "return self.rank"
    )
    script.write_text(text, encoding="utf-8")
    with Host(script, [1, 3]) as host:
        assert [host.call("fine", rank=rank).code for rank in (1, 3)] == [1, 3]


def test_a_rank_that_failed_can_be_opened_again(tmp_path: Path) -> None:
    """The engine of a failed rank is as good as new once the script is mended."""
    script = tmp_path / "handler.py"
    script.write_text(GOOD.replace("return 0", "return -1"), encoding="utf-8")
    with Engine(str(script), ranks=2, **inline({})) as engine:
        with pytest.raises(errors.IsoexecError):
            RankThread(engine, 1)
        script.write_text(GOOD + "# mended\n", encoding="utf-8")
        rank = RankThread(engine, 1)
        try:
            assert engine.stats() is not None
        finally:
            rank.close()
