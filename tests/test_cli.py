"""The commands: what they print, and their exit codes."""

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

import isoexec
from isoexec.settings import table
from support.corpus import CHECKOUT
from support.messages import INVITE
from support.run import Ended, run_isoexec, run_python

SCRIPT = """
import logging

class Handler:
    def child_init(self, rank):
        return 0

    def route(self, msg, extra="none"):
        msg.rewrite_ruri("sip:new@example.net")
        msg.append_header("X-Extra", extra)
        logging.getLogger("script").warning("extra is %s", extra)
        return 5

    def where(self, msg):
        msg.append_header("X-Where", "%s %s" % (msg.src_address, msg.dst_address))
        return 1

    def bad(self, msg):
        raise ValueError("the reason")

    def three(self, msg, one, two):
        return 1

def mod_init():
    return Handler()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handler.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "invite.sip").write_bytes(INVITE)
    return tmp_path


def execute(folder: Path, *arguments: str, **options: Any) -> Ended:
    return run_isoexec("exec", "handler.py", *arguments, cwd=folder, **options)


def test_exec_shows_what_the_method_did(folder: Path) -> None:
    shown = execute(folder, "route", "invite.sip").expect()
    for part in ("returned", "5", "sip:new@example.net", "X-Extra: none", "INVITE sip:new@"):
        assert part in shown.out
    assert "extra is none" in shown.err


def test_exec_as_json(folder: Path) -> None:
    shown = execute(folder, "route", "invite.sip", "--extra", "x", "--json", "--repeat", "10")
    report = json.loads(shown.expect().out)
    assert (report["code"], report["outcome"], report["error"]) == (5, "returned", None)
    assert report["new_uri"] == "sip:new@example.net"
    assert [edit["kind"] for edit in report["edits"]] == ["set_ruri", "append_header"]
    assert "X-Extra: x\r\n" in report["rendered"]
    assert report["elapsed_ns"] > 0
    assert report["repeat"]["calls"] == 10


def test_exec_reads_standard_input(folder: Path) -> None:
    for arguments in (["route"], ["route", "-"]):
        assert "returned" in execute(folder, *arguments, stdin=INVITE).expect().out


def test_exec_tells_the_addresses(folder: Path) -> None:
    options = ["--source", "192.0.2.7:5062", "--destination", "[2001:db8::1]:5060"]
    shown = execute(folder, "where", "invite.sip", *options, "--route", "failure").expect().out
    assert "('192.0.2.7', 5062)" in shown
    assert "('2001:DB8:0:0:0:0:0:1', 5060)" in shown


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "says"),
    [
        (["bad", "invite.sip"], None, 1, "ValueError: the reason"),
        (["absent", "invite.sip"], None, 1, "absent"),
        (["route"], b"not sip", 1, "malformed"),
        (["route", "absent.sip"], None, 2, "absent.sip"),
        (["route", "invite.sip", "--source", "nonsense:x"], None, 2, "port"),
        (["route", "invite.sip", "--repeat", "0"], None, 2, "repeat"),
        (["route", "invite.sip", "--route", "other"], None, 2, "other"),
        (["route", "invite.sip", "--ranks", "0"], None, 3, "ranks"),
        (["route", "invite.sip", "-o", "rankz=1"], None, 3, "ranks"),
        (["route", "invite.sip", "-o", "nothing"], None, 2, "NAME=VALUE"),
        (["route", "invite.sip", "--child-init-method", "nope"], None, 5, "nope"),
        ([], None, 2, "METHOD"),
    ],
)
def test_what_goes_wrong_in_exec(
    folder: Path, arguments: list[str], stdin: bytes | None, code: int, says: str
) -> None:
    ended = execute(folder, *arguments, stdin=stdin).expect(code)
    assert says in ended.out + ended.err
    assert "Traceback" not in ended.err or "in bad" in ended.err or "handler" in ended.err


def test_exec_with_a_script_that_does_not_load(folder: Path) -> None:
    (folder / "handler.py").write_text("def mod_init(:\n", encoding="utf-8")
    assert "SyntaxError" in execute(folder, "route", "invite.sip").expect(5).err
    ended = run_isoexec("exec", "absent.py", "route", "invite.sip", cwd=folder)
    assert ended.code in (2, 5)
    assert "absent.py" in ended.err


def check(folder: Path, *arguments: str) -> Ended:
    return run_isoexec("check", "handler.py", *arguments, cwd=folder)


def test_check_of_a_script_that_runs(folder: Path) -> None:
    shown = check(folder, "-m", "route", "-m", "bad").expect().out
    assert "runs in a rank" in shown
    report = json.loads(check(folder, "-m", "route", "--json").expect().out)
    assert report["ok"] is True
    assert report["loaded"] is True
    assert report["findings"] == []


@pytest.mark.parametrize(
    ("method", "kind"), [("absent", "missing"), ("three", "signature"), ("child_exit", "missing")]
)
def test_check_names_methods_that_can_not_be_called(folder: Path, method: str, kind: str) -> None:
    report = json.loads(check(folder, "-m", method, "--json").expect(1).out)
    (finding,) = report["findings"]
    assert finding["kind"] == kind
    assert method in finding["text"]


@pytest.mark.parametrize(
    ("text", "code", "kind", "says"),
    [
        ("def mod_init(:\n", 5, "start", "SyntaxError"),
        ("def mod_init(): raise ValueError('at start')\n", 5, "start", "at start"),
        ("import os\nos.abort()\n", 5, "crash", "SIGABRT"),
        ("import os\nos._exit(0)\n", 5, "crash", "exit"),
        ("import readline\n", 5, "refused", "readline"),
        ("try: import readline\nexcept ImportError: pass\n" + SCRIPT, 1, "refused", "readline"),
    ],
    ids=["syntax", "raises", "crash", "leaves", "refused", "refused and caught"],
)
def test_check_of_a_script_that_does_not_run(
    folder: Path, text: str, code: int, kind: str, says: str
) -> None:
    (folder / "handler.py").write_text(text, encoding="utf-8")
    ended = check(folder, "--json").expect(code)
    findings = json.loads(ended.out)["findings"]
    assert kind in [finding["kind"] for finding in findings]
    assert says in json.dumps(findings)


def test_config_flags(folder: Path) -> None:
    flags = run_isoexec("config", "--cflags", "--libs", cwd=folder).expect().out
    words = shlex.split(flags)
    assert "-lisoexec" in words
    includes = [Path(word[2:]) for word in words if word.startswith("-I")]
    assert any((path / "isoexec.h").is_file() for path in includes)
    assert any((path / "Python.h").is_file() for path in includes)


def test_config_template_is_toml_with_every_setting(folder: Path) -> None:
    text = run_isoexec("config", "template", cwd=folder).expect().out
    assert tomllib.loads(text) == {"engine": {}}
    lines = [
        line.removeprefix("# ")
        for line in text.splitlines()
        if line == "# [rank.3-4]" or " = " in line
    ]
    given = tomllib.loads("\n".join(["[engine]", *lines]))
    assert list(given["engine"]) == list(table())
    assert given["rank"] == {"3-4": {"deadline": "20ms"}}
    (folder / "isoexec.toml").write_text("\n".join(["[engine]", *lines]), encoding="utf-8")
    run_isoexec("config", "show", "-c", "isoexec.toml", cwd=folder).expect()


def test_config_show_tells_what_each_rank_gets_and_from_where(folder: Path) -> None:
    (folder / "isoexec.toml").write_text(
        '[engine]\nmax_depth = 3\ndeadline = "50ms"\n[rank.2-3]\ndeadline = "20ms"\ngrace = 1\n',
        encoding="utf-8",
    )
    arguments = ["config", "show", "-c", "isoexec.toml", "--ranks", "4", "--deadline", "1s"]
    arguments += ["--rank", "3:grace=3s", "-o", "environment=A=1,B=2"]
    variables = {"ISOEXEC_SPIN": "0", "ISOEXEC_RANK_1_2_GRACE": "7", "ISOEXEC_RANK_2_GRACE": "8"}
    shown = run_isoexec(*arguments, "--json", cwd=folder, env=variables).expect().out
    settings = {
        name: [tuple(group.values()) for group in groups]
        for name, groups in json.loads(shown)["settings"].items()
    }
    assert list(settings) == list(table())
    assert settings["max_depth"] == [("all", "3", "isoexec.toml [engine]")]
    assert settings["spin"] == [("all", "0", "ISOEXEC_SPIN")]
    assert settings["queue_size"] == [("all", "1024", "default")]
    assert settings["memory_limit"] == [("all", None, "not with isolation own_gil")]
    assert settings["environment"] == [("all", "A=1,B=2", "-o environment")]
    assert settings["deadline"] == [
        ("1,4", "1s", "--deadline"),
        ("2-3", "20ms", "isoexec.toml [rank.2-3]"),
    ]
    assert settings["grace"] == [
        ("1", "7s", "ISOEXEC_RANK_1_2_GRACE"),
        ("2", "8s", "ISOEXEC_RANK_2_GRACE"),
        ("3", "3s", "--rank 3"),
        ("4", "5s", "default"),
    ]
    lines = run_isoexec(*arguments, cwd=folder, env=variables).expect().out.splitlines()
    assert [line.split() for line in lines if "20ms" in line] == [
        ["2-3", "20ms", "isoexec.toml", "[rank.2-3]"]
    ]


def test_config_show_lists_every_problem_with_where_it_stands(folder: Path) -> None:
    (folder / "isoexec.toml").write_text(
        "[engine]\ngraces = 1\n[rank.3-4]\ndeadline = 0\nranks = 3\n[rank.9]\ngrace = 1\n"
        '[rank.x]\ngrace = 1\n[rank.2]\nisolation = "main"\nrecursion_limit = 100\n',
        encoding="utf-8",
    )
    arguments = ["-c", "isoexec.toml", "--rank", "1:memory_limit=64M", "--timing", "never"]
    environment = {"ISOEXEC_RANK_1_DEADLIN": "5", "ISOEXEC_RANK_3_4_DEADLINE": "-1"}
    ended = run_isoexec("config", "show", *arguments, cwd=folder, env=environment).expect(3)
    for start, says in (
        ("isoexec.toml [engine]: ", "nearest is grace"),
        ("isoexec.toml [rank.3-4]: deadline: ", "1ms to 1h"),
        ("isoexec.toml [rank.3-4]: ranks ", "whole engine"),
        ("isoexec.toml [rank.9]: ", "1 to 4"),
        ("isoexec.toml [rank.x]: ", "3-4"),
        ("isoexec.toml [rank.2]: recursion_limit: ", "isolation main"),
        ("--rank 1: memory_limit: ", "isolation process"),
        ("--timing: ", "sampled"),
        ("ISOEXEC_RANK_1_DEADLIN: ", "nearest is deadline"),
        ("ISOEXEC_RANK_3_4_DEADLINE: deadline: ", "1ms to 1h"),
    ):
        found = [line for line in ended.err.splitlines() if line.strip().startswith(start)]
        assert any(says in line for line in found), (start, says, ended.err)


def test_exec_runs_on_a_rank_with_its_own_settings(folder: Path) -> None:
    (folder / "handler.py").write_text(
        "import os\n" + SCRIPT.replace("return 5", "return int(os.environ['CODE'])"),
        encoding="utf-8",
    )
    arguments = ["route", "invite.sip", "--on", "2", "--json", "--rank", "2:environment=CODE=42"]
    for more in ([], ["--rank", "1,2:channel=queue"], ["--channel", "queue"]):
        assert json.loads(execute(folder, *arguments, *more).expect().out)["code"] == 42
    for wrong in ("2:deadline", "deadline=1"):
        assert "NAME=VALUE" in execute(folder, *arguments, "--rank", wrong).expect(2).err


def test_check_keeps_to_the_imports_that_are_allowed(folder: Path) -> None:
    good = ["--allow-imports", "logging", "-m", "route"]
    assert "runs in a rank" in check(folder, *good).expect().out
    shown = check(folder, "--deny-imports", "logging").expect(5).out
    assert "deny_imports" in shown


def test_demo(folder: Path) -> None:
    run_isoexec("demo", "--ranks", "2", "--seconds", "0.2", cwd=folder).expect()


def test_help_and_version(folder: Path) -> None:
    assert isoexec.__version__ in run_isoexec("--version", cwd=folder).expect().out
    assert "exec" in run_isoexec("-h", cwd=folder).expect().out
    for command in ("exec", "check", "config", "demo"):
        assert "Usage" in run_isoexec(command, "--help", cwd=folder).expect().out
    run_isoexec("no-such-command", cwd=folder).expect(2)


def test_the_checkout_says_that_it_hides_the_package(tmp_path: Path) -> None:
    """`import isoexec` in the root of the checkout finds the sources: one sentence says so."""
    if Path(isoexec.__file__).parent.parent == CHECKOUT or not (CHECKOUT / "isoexec").is_dir():
        pytest.skip("no wheel beside a checkout")
    text = f"import sys\nsys.path.insert(0, {str(CHECKOUT)!r})\nimport isoexec\n"
    ended = run_python(text, tmp_path).expect(1)
    assert "checkout" in ended.err
