"""The corpus: messages with the answers that an object must give, scripts with what their calls do.

Everything but the published torture messages is carried in tests/corpus. Those are read from
ISOEXEC_CORPUS, by default from the folder that stands beside the checkout."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CARRIED = Path(__file__).resolve().parent.parent / "corpus"
CHECKOUT = CARRIED.parent.parent
EXTERNAL = Path(os.environ.get("ISOEXEC_CORPUS") or CHECKOUT.parent / "shared" / "corpus")
TORTURE = EXTERNAL / "sip" / "torture"

Line = dict[str, Any]

# Left out of the list of cases, with the reason.
NOT_YET = {"lc-reload-leak": "reload is not part of this version"}


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true", "yes")


def torture_missing() -> str:
    """Why there are no torture messages, or "" if there are."""
    if (TORTURE / "index.jsonl").is_file():
        return ""
    return (
        f"no torture messages in {TORTURE}; set ISOEXEC_CORPUS to the folder that holds sip/torture"
    )


def require_torture() -> None:
    """Skips the test when the torture messages are absent. In CI that is a failure."""
    reason = torture_missing()
    if reason and in_ci():
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


def read_lines(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def message_lines(folder: Path) -> list[Line]:
    """The index of a folder of messages, each line with the path of its file."""
    return [{**line, "path": folder / line["file"]} for line in read_lines(folder / "index.jsonl")]


def message_params() -> list[Any]:
    """Every indexed message; in the place of absent torture messages one test that is skipped."""
    lines = message_lines(CARRIED / "sip" / "typical")
    if not torture_missing():
        lines += message_lines(TORTURE)
    params = [pytest.param(line, id=line["file"]) for line in lines]
    if torture_missing():
        params.append(pytest.param(None, id="torture"))
    return params


def cases(*operations: str) -> list[Line]:
    """The field cases of these operations (parse, calls, parallel, lifecycle)."""
    found = read_lines(CARRIED / "cases" / "cases.jsonl")
    return [case for case in found if case["run"]["op"] in operations and case["id"] not in NOT_YET]


def case_params(*operations: str) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases(*operations)]


def case_file(name: str) -> Path:
    """An input of a field case; the lines name it with and without its folder."""
    return CARRIED / "cases" / "inputs" / Path(name).name


def scenarios() -> list[Line]:
    return list(read_lines(CARRIED / "handlers" / "expect.jsonl"))


def scenario_message(name: str) -> Path | None:
    """The message that a step names, or None if it is a torture message that is absent."""
    if "/torture/" in name:
        path = TORTURE / Path(name).name
        return path if path.is_file() else None
    return (CARRIED / "handlers" / name).resolve()
