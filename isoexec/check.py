"""Looks at a handler script in a real rank, in child processes, so that a crash is a result too.

Two children: the first starts the script as a host would, with all rules of the engine; the second
loads it under a wrapper (``_inspect.py``), which sees imports that the script itself survives and
looks at the methods.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isoexec.errors import ConfigError, ScriptError
from isoexec.settings import Settings

__all__ = ["Finding", "Method", "Report", "check_script"]

INSPECT = Path(__file__).with_name("_inspect.py")


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem."""

    kind: str
    """``"start"``, ``"crash"``, ``"timeout"``, ``"refused"``, ``"missing"`` or ``"signature"``."""
    text: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A method that the handler object offers."""

    name: str
    signature: str


@dataclass(slots=True)
class Report:
    """What was found out about a script."""

    loaded: bool = False
    """Whether a rank starts with it."""
    start_ms: float = 0.0
    """How long the rank took to start."""
    findings: list[Finding] = field(default_factory=list)
    methods: list[Method] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": not self.findings, **dataclasses.asdict(self)}


def check_script(settings: Settings, methods: tuple[str, ...], timeout: float) -> Report:
    """Starts the script in a rank of a child process and inspects it.

    :param settings: with ``script_name``.
    :param methods: names of methods that must be there; empty: all public ones are looked at.
    :param timeout: seconds that each of the two children may take.
    :raises ConfigError: a setting is wrong.
    """
    report = Report()
    with tempfile.TemporaryDirectory(prefix="isoexec-check-") as folder:
        own = {
            name: effective.value
            for name, effective in settings.of_rank(1).items()
            if effective.value is not None and effective.source != "default"
        }
        answer = _run_child(own, folder, timeout, report)
        if answer is None:
            return report
        if answer["error"] == "settings":
            raise ConfigError(answer["text"])
        report.loaded = answer["error"] is None
        report.start_ms = answer["start_ms"]
        if answer["error"] is not None:
            report.findings.append(Finding("start", answer["text"], answer["traceback"]))
        _inspect(own, methods, folder, timeout, report)
    return report


def _inspect(
    settings: dict[str, str], methods: tuple[str, ...], folder: str, timeout: float, report: Report
) -> None:
    out = Path(folder) / "inspect.json"
    wrapper = Path(folder) / "isoexec_inspect.py"
    wrapper.write_bytes(INSPECT.read_bytes())
    task = {
        "script": os.path.abspath(settings["script_name"]),
        "mod_init": settings.get("mod_init_function", "mod_init"),
        "child_init": settings.get("child_init_method", "child_init"),
        "methods": list(methods),
        "out": str(out),
    }
    wrapper.with_suffix(".json").write_text(json.dumps(task), encoding="utf-8")
    # The wrapper's imports are not the script's, which ran with its own in the first child.
    kept = {name: text for name, text in settings.items() if not name.endswith("_imports")}
    replaced = {
        **kept,
        "script_name": str(wrapper),
        "mod_init_function": "mod_init",
        "child_init_method": "child_init",
    }
    if _run_child(replaced, folder, timeout, report) is None or not out.exists():
        return
    found = json.loads(out.read_text(encoding="utf-8"))
    report.findings += [Finding(**row) for row in found["findings"]]
    report.methods = [Method(**row) for row in found["methods"]]


def _run_child(
    settings: dict[str, str], folder: str, timeout: float, report: Report
) -> dict[str, Any] | None:
    """What the child says, or None after noting that it crashed or took too long."""
    answer = Path(folder) / "start.json"
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", "isoexec.check", json.dumps(settings), str(answer)]
    try:
        child = subprocess.run(
            command, timeout=timeout, capture_output=True, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        report.findings.append(
            Finding("timeout", f"the script did not load within {timeout:g} seconds")
        )
        return None
    if child.returncode == 0 and answer.exists():
        loaded: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return loaded
    output = child.stderr.decode("utf-8", "backslashreplace")
    report.findings.append(Finding("crash", _ending(child.returncode), output[-4000:]))
    return None


def _ending(code: int) -> str:
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = str(-code)
        return f"the process that loaded the script was ended by signal {name}"
    return f"the process that loaded the script ended early, with exit code {code}"


def start_once(settings: dict[str, str]) -> dict[str, Any]:
    """Starts one rank and ends it: what happened. Runs in the child."""
    import time

    from isoexec.engine import Engine

    answer: dict[str, Any] = {"error": None, "text": "", "traceback": "", "start_ms": 0.0}
    try:
        with Engine(settings=settings, channel="inline") as engine:
            begin = time.monotonic()
            with engine.open_rank(1):
                answer["start_ms"] = (time.monotonic() - begin) * 1000
    except ConfigError as error:
        return answer | {"error": "settings", "text": str(error)}
    except ScriptError as error:
        return answer | {"error": "script", "text": error.args[0], "traceback": error.traceback}
    return answer


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(start_once(json.loads(sys.argv[1]))), encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
