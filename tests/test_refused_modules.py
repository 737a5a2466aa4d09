"""Modules that do not support an own GIL: a clean ImportError that names the module and a level."""

import importlib.util
from pathlib import Path

import pytest

from support.run import run_python
from support.scripts import runs

MODULES = ["numpy", "orjson", "regex", "msgspec", "lxml.etree"]

HANDLER = """
import importlib

class H:
    def child_init(self, rank):
        return 0

    def load(self, msg, name):
        importlib.import_module(name)
        return 1

    def catch(self, msg, name):
        try:
            importlib.import_module(name)
        except ImportError:
            return 2
        return 1

    def fine(self, msg):
        return 7

def mod_init():
    return H()
"""

HOST = """
import sys, threading
from isoexec import Engine
from support.messages import INVITE

errors, codes = [], []

def serve(number):
    with engine.open_rank(number) as rank:
        ready.wait(30)
        result = rank.python_exec("load", INVITE, extra=sys.argv[1])
        assert (result.code, result.outcome) == (-1, "raised"), result
        errors.append(result.error)
        codes.append(rank.python_exec("catch", INVITE, extra=sys.argv[1]).code)
        codes.append(rank.python_exec("fine", INVITE).code)

ready = threading.Barrier(4)
with Engine("handler.py", ranks=4, channel="inline") as engine:
    threads = [threading.Thread(target=serve, args=(number,)) for number in (1, 2, 3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert sorted(codes) == [2] * 4 + [7] * 4, codes
print("\\n".join(errors))
"""


def check_refused(module: str, folder: Path) -> None:
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    (folder / "handler.py").write_text(HANDLER, encoding="utf-8")
    ended = run_python(HOST, folder, module).expect()
    assert ended.out.count("ImportError") >= 4
    assert ended.out.count("own_gil") >= 4
    assert '"main" or "process"' in ended.out
    assert module.partition(".")[0] in ended.out


@pytest.mark.parametrize("module", MODULES)
def test_a_refused_module(module: str, tmp_path: Path) -> None:
    check_refused(module, tmp_path)


@pytest.mark.stress
@pytest.mark.parametrize("number", range(runs(20)))
@pytest.mark.parametrize("module", MODULES)
def test_a_refused_module_again_and_again(module: str, number: int, tmp_path: Path) -> None:
    check_refused(module, tmp_path)


def test_a_module_of_the_library_that_is_refused(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text(HANDLER, encoding="utf-8")
    ended = run_python(HOST, tmp_path, "readline").expect()
    assert "readline" in ended.out
    assert "own_gil" in ended.out
