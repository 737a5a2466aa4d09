"""Settings that act inside a rank: environment, sys_path, imports, threads; on both channels."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, RankSettings, errors
from support.host import Host, recorded
from support.messages import INVITE

HEAD = """
class H:
    def child_init(self, rank):
        return 0

    def run(self, msg, code):
        names = {"__file__": __file__}
        exec(code, names)
        return names.get("result", 1)

def mod_init():
    return H()
"""

type Run = Callable[..., Any]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "handler.py").write_text(HEAD, encoding="utf-8")
    return tmp_path / "handler.py"


@contextlib.contextmanager
def ranks_of(channel: str, script: Path, ranks: int = 1, **settings: Any) -> Iterator[Run]:
    """run(code, rank=1): runs code in a rank on that channel; the Result."""
    with contextlib.ExitStack() as stack:
        if channel == "inline":
            host = stack.enter_context(Host(script, ranks, **settings))

            def run(code: str, rank: int = 1) -> Any:
                return host.call("run", INVITE, rank=rank, extra=code)
        else:
            engine = stack.enter_context(Engine(script, ranks=ranks, **settings))

            def run(code: str, rank: int = 1) -> Any:
                return engine.python_exec("run", INVITE, code, rank=rank)

        yield run


both_channels = pytest.mark.parametrize("channel", ["queue", "inline"])


def good(result: Any) -> None:
    assert (result.outcome, result.code) == ("returned", 1), result.error


def process_environment() -> dict[str, str]:
    """What the C library of this process has: what a child without `env` of its own gets."""
    shown = subprocess.run(
        ["/usr/bin/env", "-0"], capture_output=True, check=True, text=True
    ).stdout
    return dict(item.split("=", 1) for item in shown.split("\0") if item)


SEEN = """
assert os.environ.get(name) == os.getenv(name) == value
assert os.environb.get(name.encode()) == (value and value.encode())
show = 'printf %s "${' + name + '-absent}"'
want = "absent" if value is None else value
for more in ({}, {"env": None}):
    child = subprocess.run(["sh", "-c", show], capture_output=True, text=True, **more)
    assert child.stdout == want
by_position = (-1, None, None, None, None, None, True, False, None, None)
test = '[ "${' + name + '-absent}" = "' + want + '" ]'
child = subprocess.Popen(("sh", "-c", test), *by_position)
assert child.wait() == 0
assert os.popen(show).read() == want
assert os.system(test) == 0
assert os.waitstatus_to_exitcode(os.system("exit 3")) == 3
"""


def seen(name: str, value: str | None) -> str:
    return f"import os, subprocess\nname, value = {name!r}, {value!r}\n{SEEN}"


@both_channels
def test_environment_is_the_ranks_own(channel: str, script: Path) -> None:
    os.environ["ISOTEST_HOST"] = "host"
    try:
        per_rank = {2: RankSettings(environment={"ISOTEST_A": "two, and more", "ISOTEST_B": "2"})}
        given = {"environment": "ISOTEST_A=one", "per_rank": per_rank}
        with ranks_of(channel, script, 3, **given) as run:
            good(run(seen("ISOTEST_A", "one"), 1))
            good(run(seen("ISOTEST_A", "two, and more"), 2))
            good(run(seen("ISOTEST_B", "2"), 2))
            good(run(seen("ISOTEST_B", None), 3))
            good(run(seen("ISOTEST_HOST", "host"), 3))
            good(run("import os; os.environ['ISOTEST_C'] = 'c'; del os.environ['ISOTEST_HOST']", 1))
            good(run("import os; os.putenv('ISOTEST_D', 'd'); os.unsetenv('ISOTEST_A')", 1))
            for name, value in (("C", "c"), ("D", "d"), ("A", None), ("HOST", None)):
                good(run(seen(f"ISOTEST_{name}", value), 1))
            good(run(seen("ISOTEST_HOST", "host") + seen("ISOTEST_C", None), 2))
            process = process_environment()
            assert {name for name in process if name.startswith("ISOTEST")} == {"ISOTEST_HOST"}
            assert [name for name in os.environ if name.startswith("ISOTEST")] == ["ISOTEST_HOST"]
    finally:
        del os.environ["ISOTEST_HOST"]


@both_channels
def test_what_os_environ_refuses(channel: str, script: Path) -> None:
    with ranks_of(channel, script) as run:
        for code in (
            "del os.environ['ISOTEST_ABSENT']",
            "os.environ['a=b'] = 'c'",
            "os.environ['a'] = 'b\\0'",
            "os.environ[''] = 'b'",
            "os.environ[1] = 'b'",
            "os.putenv('a', 1)",
        ):
            result = run(
                "import os\ntry:\n    " + code + "\nexcept (KeyError, ValueError, TypeError):\n"
                "    result = 2"
            )
            assert result.code == 2, (code, result.error)
        good(run("import os; os.environ.update(A='1'); os.environ |= {'B': '2'}"))
        good(run("import os\nassert (os.environ.pop('A'), os.environ['B']) == ('1', '2')"))


def test_reload_environ_keeps_the_setting(script: Path) -> None:
    with ranks_of("queue", script, environment="ISOTEST_A=1") as run:
        good(
            run(
                "import os\nos.environ['ISOTEST_B'] = '2'\n"
                "if hasattr(os, 'reload_environ'):\n"
                "    os.reload_environ()\n"
                "    assert 'ISOTEST_B' not in os.environ\n"
                "assert os.environ['ISOTEST_A'] == '1'"
            )
        )


@both_channels
def test_sys_path(channel: str, script: Path) -> None:
    for folder, number in (("one", 1), ("two, 2", 2)):
        (script.parent / folder).mkdir()
        (script.parent / folder / "isotest_place.py").write_text(f"number = {number}\n")
    (script.parent / "one" / "handler.py").write_text("raise ImportError\n")
    (script.parent / "one" / "colorsys.py").write_text("number = 1\n")
    folders = [script.parent / "one", script.parent / "two, 2"]
    per_rank = {2: {"sys_path": folders[1:]}, 3: {"sys_path": [script.parent / "absent"]}}
    with (
        recorded() as log,
        ranks_of(channel, script, 3, sys_path=folders, per_rank=per_rank) as run,
    ):
        for rank in (1, 2):
            good(run(f"import isotest_place\nassert isotest_place.number == {rank}", rank))
        good(run("import colorsys\nassert colorsys.number == 1", 1))
        good(run("import handler\nassert handler.mod_init", 1))
        assert "isotest_place" in run("import isotest_place", 3).error
        assert "sys_path" in log.wait("absent", rank=3)


ALLOWED = (
    "import json, json.decoder",
    "from json import decoder, loads",
    "import isotest_helper; isotest_helper.work()",
    "from isotest_pack import inner",
    "from isotest_pack.inner import value",
    "import OpenSIPS, isoexec; isoexec.rank",
    "from __future__ import annotations",
    "import xml.etree.ElementTree; xml.etree.ElementTree.Element('a')",
    "from xml.etree import ElementTree",
    "from xml import etree",
    "import asyncio; asyncio.run(asyncio.sleep(0))",
    "import datetime; datetime.datetime.strptime('2020-01-02', '%Y-%m-%d')",
    "import decimal, fractions; fractions.Fraction('1.5') + 1",
    "import importlib; importlib.import_module('json.encoder')",
    "import importlib; importlib.import_module('.inner', 'isotest_pack')",
    "__import__('json')",
    "import dataclasses; dataclasses.make_dataclass('A', ['b'])(1)",
)
REFUSED = (
    "import socket",
    "import xml",
    "from xml import etree, sax",
    "import xml.sax",
    "from os import path",
    "import jsonx",
    "__import__('socket')",
    "import importlib; importlib.import_module('socket')",
    "import importlib; importlib.__import__('socket')",
    "exec('import socket', {})",
    "import isotest_helper; isotest_helper.bad()",
    "import isotest_absent",
)


@pytest.fixture
def package(script: Path) -> Path:
    folder = script.parent
    (folder / "isotest_helper.py").write_text(
        "import json\ndef work():\n    from isotest_pack import inner\n    return json, inner\n"
        "def bad():\n    import socket\n"
    )
    (folder / "isotest_pack").mkdir()
    (folder / "isotest_pack" / "__init__.py").write_text("from . import inner\n")
    (folder / "isotest_pack" / "inner.py").write_text("value = 1\n")
    installed = folder / "venv" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "isotest_installed.py").write_text("import socket, http.client\n")
    return script


@both_channels
def test_allow_imports(channel: str, package: Path) -> None:
    allowed = "json,asyncio,datetime,decimal,fractions,dataclasses,importlib,xml.etree"
    installed = {"sys_path": [package.parent / "venv" / "site-packages"]}
    with (
        recorded() as log,
        ranks_of(channel, package, 2, per_rank={1: {"allow_imports": allowed} | installed}) as run,
    ):
        for code in ALLOWED:
            good(run(code))
        for code in REFUSED:
            result = run(code)
            assert (result.outcome, result.code) == ("raised", -1), code
            assert "ImportError: the script may not import" in result.error, code
            assert "the setting allow_imports does not name it" in result.error, code
        assert "allow_imports" in run("import isotest_installed").error
        assert log.wait("may not import socket", rank=1)
        for code in REFUSED[:3]:
            good(run(code, 2))


@both_channels
def test_what_is_installed_imports_for_itself(channel: str, package: Path) -> None:
    installed = package.parent / "venv" / "site-packages"
    with ranks_of(channel, package, sys_path=[installed], allow_imports="isotest_installed") as run:
        good(run("import isotest_installed; isotest_installed.http.client"))
        assert "allow_imports" in run("import http.client").error


@both_channels
def test_an_empty_list_allows_the_own_files_alone(channel: str, script: Path) -> None:
    (script.parent / "isotest_own.py").write_text("value = 1\n")
    with ranks_of(channel, script, allow_imports=[]) as run:
        good(run("import OpenSIPS, isotest_own"))
        assert "allow_imports" in run("import sys").error
    with ranks_of(
        channel, script, allow_imports=[], per_rank={1: {"allow_imports": "none"}}
    ) as run:
        good(run("import sys"))


@both_channels
def test_deny_imports(channel: str, package: Path) -> None:
    denied = {"deny_imports": ["socket", "os.path", "xml.sax", "isotest_helper"]}
    with ranks_of(
        channel, package, **denied, allow_imports="os,xml,socket,asyncio,importlib"
    ) as run:
        for code in (
            "import os",
            "from os import getpid",
            "import xml.dom, asyncio; asyncio.run(asyncio.sleep(0))",
            "from isotest_pack import inner",
        ):
            good(run(code))
        for code in (
            "import socket",
            "import os.path",
            "from os import path",
            "from os import getpid, path",
            "import xml.sax.handler",
            "from xml.sax import handler",
            "import isotest_helper",
            "import importlib; importlib.import_module('xml.sax')",
        ):
            assert "the setting deny_imports names it" in run(code).error, code


def test_a_script_that_may_not_be_loaded(script: Path) -> None:
    script.write_text("import socket\n" + HEAD, encoding="utf-8")
    with pytest.raises(errors.ScriptError, match="deny_imports"):
        Engine(script, ranks=2, per_rank={2: {"deny_imports": "socket"}})
    script.write_text("try: import socket\nexcept ImportError: pass\n" + HEAD, encoding="utf-8")
    with recorded() as log, ranks_of("queue", script, deny_imports="socket"):
        log.wait("may not import socket", rank=1)


THREADS = (
    "import threading; threading.Thread(target=print).start()",
    "import _thread; _thread.start_new_thread(print, ())",
    "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(1).submit(print)",
    "import asyncio; asyncio.run(asyncio.to_thread(print))",
)


@both_channels
def test_threads_that_are_refused_name_the_setting(channel: str, script: Path) -> None:
    with recorded() as log:
        with ranks_of(channel, script, 2, per_rank={1: {"allow_threads": False}}) as run:
            for code in THREADS:
                result = run(code)
                assert (result.outcome, result.code) == ("raised", -1), code
                assert "allow_threads" in result.error, code
                good(run(code, 2))
            good(run("import threading\nassert threading.active_count() >= 1"))
        assert not [line for line in log.texts() if "waiting for the script's threads" in line]
