"""Every message of the corpus, read in the main interpreter and in own-GIL ranks at once."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from handlers.probe import look
from isoexec import SIPMsg
from support import corpus
from support.host import Host

PROBE = Path(__file__).parent / "handlers" / "probe.py"

# Start lines with surplus blanks may be refused, or read as this R-URI and as nothing else.
TOLERATED = {
    "rfc4475_lwsstart.dat": "sip:user@example.com",
    "rfc4475_trws.dat": "sip:remote-target@example.com",
}

Read = Callable[[bytes, list[str]], list[dict[str, Any]]]


def read_in_main(raw: bytes, names: list[str]) -> list[dict[str, Any]]:
    try:
        return [look(SIPMsg(raw), names)]
    except (ValueError, RuntimeError) as error:
        return [{"refused": f"{type(error).__name__}: {error}"}]


@pytest.fixture(scope="module")
def read_in_ranks() -> Iterator[Read]:
    """Two ranks read each message at the same time; a message that is not SIP reports nothing."""
    reports: list[str] = []

    def report(call: Any, text: str) -> int:
        reports.append(text)
        return 1

    with Host(PROBE, 2, functions={"report": report}) as host:

        def read(raw: bytes, names: list[str]) -> list[dict[str, Any]]:
            reports.clear()
            results = host.each("probe", raw, extra=json.dumps(names))
            if all(result.outcome == "malformed" for result in results):
                assert not reports
                assert all(result.code == -1 and result.error for result in results)
                return [{"refused": result.error} for result in results]
            assert [result.code for result in results] == [1, 1], results[0].error
            return [json.loads(text) for text in reports]

        yield read


@pytest.fixture(params=["main", "ranks"])
def read(request: pytest.FixtureRequest) -> Read:
    if request.param == "main":
        return read_in_main
    return request.getfixturevalue("read_in_ranks")  # type: ignore[no-any-return]


@pytest.mark.parametrize("line", corpus.message_params())
def test_message(line: corpus.Line | None, read: Read) -> None:
    if line is None:
        corpus.require_torture()
        return
    raw = line["path"].read_bytes()
    assert len(raw) == line["bytes"]
    headers = {ask["ask"]: ask for ask in line["headers"]}
    for seen in read(raw, list(headers)):
        if refused(seen, line["accept"]):
            continue
        assert bytes.fromhex(seen["raw"]) == raw
        assert (seen["type"], seen["method"]) == (line["type"], line["method"])
        assert seen["ruri"] == TOLERATED.get(line["file"], line["ruri"])
        assert seen["status"] == line["status"]
        for name, ask in headers.items():
            wanted = ask.get("alias_unfolded", ask["alias"])
            assert seen["headers"][name] == wanted, name
            assert seen["rows"][name] == ask["count"], name
            assert bool(seen["lists"][name]) or not wanted, name
            assert seen["lists"][name] == [] or wanted is not None, name
        assert seen["body_len"] == line["body_len"]


@pytest.mark.parametrize("case", corpus.case_params("parse"))
def test_case(case: corpus.Line, read: Read) -> None:
    raw = b"".join(corpus.case_file(name).read_bytes() for name in case["inputs"])
    expect = case["run"]["expect"] or {}
    headers = expect.get("headers", {})
    everything = {name.removeprefix("all:"): rows for name, rows in case.get("helper", {}).items()}
    for seen in read(raw, [*headers, *everything]):
        if refused(seen, case["run"]["accept"]):
            continue
        for key in ("type", "method", "ruri", "status", "body_len"):
            if key in expect:
                assert seen[key] == expect[key], key
        for name, answers in headers.items():
            assert seen["headers"][name] == answers.get("alias_unfolded", answers["alias"]), name
        if "Supported" in everything:
            wanted = [value for row in everything["Supported"] for value in row.split(", ")]
            assert seen["rows"]["Supported"] == len(everything["Supported"])
            assert seen["lists"]["Supported"] == wanted


def refused(seen: dict[str, Any], accept: str) -> bool:
    """Whether the message was refused; that it may be, and says why, is checked here."""
    if "refused" in seen:
        assert accept in ("no", "either"), seen["refused"]
        assert seen["refused"]
        return True
    assert accept in ("yes", "either"), seen
    return False


def test_bare_line_feeds_are_read_one_way() -> None:
    """One reading of a line end everywhere: header and body agree, or the message is refused."""
    raw = corpus.case_file("mm-bare-lf.sip").read_bytes()
    (seen,) = read_in_main(raw, ["Content-Length"])
    if "refused" not in seen and seen["body_len"] is not None:
        assert seen["headers"]["Content-Length"] == str(seen["body_len"])


def test_the_whole_corpus_is_there() -> None:
    assert len(corpus.message_lines(corpus.CARRIED / "sip" / "typical")) == 41
    assert len(corpus.cases("parse")) == 34
    assert len(corpus.scenarios()) == 11


def test_the_torture_messages_are_there() -> None:
    corpus.require_torture()
    assert len(corpus.message_lines(corpus.TORTURE)) == 61
