"""Calls that fail: code -1, an outcome, a logged reason; the next call is clean."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.host import Host
from support.messages import INVITE, OK, request

FAULTS = Path(__file__).parent / "handlers" / "faults.py"
ERROR = 40


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Host(FAULTS) as opened:
        yield opened


def fails(host: Host, method: str, outcome: str, *says: str, **options: Any) -> Any:
    """The call fails as told and is logged, and the call after it is clean."""
    result = host.call(method, **options)
    assert (result.code, result.outcome) == (-1, outcome), result.error
    for part in (*says, method):
        assert part in result.error
    assert not result.edits
    assert result.new_uri is None
    assert result.dst_uri is None
    clean = host.call("fine")
    assert (clean.code, clean.outcome, clean.error) == (7, "returned", None)
    return result


RETURNS = {"boolean": 1, "index": 12, "largest": 2**31 - 1, "smallest": -(2**31), "fine": 7}


@pytest.mark.parametrize(("method", "code"), RETURNS.items())
def test_ints_come_back_as_they_are(host: Host, method: str, code: int) -> None:
    result = host.call(method)
    assert (result.code, result.outcome, result.error) == (code, "returned", None)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("none", "None"),
        ("text", "str"),
        ("fraction", "float"),
        ("octets", "bytes"),
        ("too_large", "32 bits"),
        ("huge", "int"),
    ],
)
def test_a_value_that_is_no_code(host: Host, method: str, says: str) -> None:
    fails(host, method, "bad_value", says)


def test_an_index_that_raises(host: Host) -> None:
    result = host.call("bad_index")
    assert result.code == -1
    assert result.outcome in ("bad_value", "raised")
    assert "no index today" in result.error
    assert host.call("fine").code == 7


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("raises", "ValueError: the reason"),
        ("chained", "KeyError: 'first'"),
        ("chained", "LookupError: second"),
        ("odd_text", "ValueError: lone"),
        ("bad_str", "Odd"),
        ("group", "ValueError: one"),
        ("generator_exit", "GeneratorExit"),
        ("recursion", "RecursionError"),
        ("memory", "MemoryError"),
        ("allocates", "MemoryError"),
        ("edits_then_raises", "after the edits"),
    ],
)
def test_a_method_that_raises(host: Host, method: str, says: str) -> None:
    fails(host, method, "raised", says)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("exits", "SystemExit"),
        ("exits_with_text", "good bye"),
        ("interrupts", "KeyboardInterrupt"),
    ],
)
def test_a_method_that_wants_to_end_the_process(host: Host, method: str, says: str) -> None:
    fails(host, method, "exit", says)


def test_deep_nesting_in_c_code_is_an_error(host: Host) -> None:
    result = host.call("recursion_in_c")
    assert (result.code, result.outcome) == (-1, "raised")
    assert "RecursionError" in result.error
    assert host.call("fine").code == 7


@pytest.mark.parametrize(
    "method", ["absent", "value", "__doc__", "no such name", "\u03bb", "x" * 10_000]
)
def test_a_method_that_is_not_there(host: Host, method: str) -> None:
    result = host.call(method)
    assert (result.code, result.outcome) == (-1, "missing")
    assert method[:50] in result.error
    assert host.call("fine").code == 7


def test_a_missing_method_names_near_ones(host: Host) -> None:
    assert "raises" in host.call("raisez").error


@pytest.mark.parametrize("method", ["", "a\0b"])
def test_a_method_name_that_can_be_none(host: Host, method: str) -> None:
    try:
        result = host.call(method)
    except ValueError:
        pass
    else:
        assert (result.code, result.outcome) == (-1, "missing")
    assert host.call("fine").code == 7


def test_missing_methods_do_not_spoil_good_ones(host: Host) -> None:
    codes = host.ranks[1].run(
        lambda rank: [
            rank.python_exec("fine" if n % 2 else f"absent{n % 10}", INVITE).code
            for n in range(10_000)
        ]
    )
    assert codes == [-1, 7] * 5_000


def test_wrong_arity(host: Host) -> None:
    fails(host, "fine", "raised", "TypeError", extra="too many")
    fails(host, "extra", "raised", "TypeError")


def test_extra(host: Host) -> None:
    assert host.call("extra", extra="abc").code == 3
    assert host.call("extra", extra="").code == 0
    assert host.call("extra", extra="a\0b").code == 3
    assert host.call("extra", extra="\u0395\u03bb").code == 2
    assert host.call("extra", extra="x" * 100_000).code == 100_000
    assert host.call("optional").code == -2
    assert host.call("optional", extra=None).code == -2
    assert host.call("optional", extra="").code == 0


def test_extra_that_is_not_utf8(host: Host) -> None:
    """Octets that are not UTF-8 fail the call, as OpenSIPS has it, and the next call is clean."""
    result = host.call("extra", extra="a\udcffb")
    assert result.code == -1
    assert "UTF-8" in result.error or "utf-8" in result.error
    host.log.wait(result.error.splitlines()[-1], rank=1)
    assert host.call("fine").code == 7
    with pytest.raises(UnicodeEncodeError):
        host.call("extra", extra="\ud800")
    assert host.call("fine").code == 7


@pytest.mark.parametrize("extra", [5, ["x"], 1.5, b"x"])
def test_extra_that_is_no_text(host: Host, extra: Any) -> None:
    with pytest.raises(TypeError):
        host.call("extra", extra=extra)
    assert host.call("fine").code == 7


def test_the_reason_names_rank_method_and_call_id(host: Host) -> None:
    result = host.call("raises", request(call_id="needle@192.0.2.9"))
    for part in (
        "rank 1",
        "raises",
        "needle@192.0.2.9",
        "Traceback",
        "faults.py",
        "ValueError: the reason",
    ):
        assert part in result.error
    assert host.log.wait("needle@192.0.2.9", level=ERROR, rank=1)


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("none", "None"),
        ("absent", "absent"),
        ("exits", "SystemExit"),
        ("raises", "the reason"),
        ("memory", "MemoryError"),
    ],
)
def test_every_failure_is_logged_with_its_rank(host: Host, method: str, says: str) -> None:
    host.log.records.clear()
    host.call(method)
    host.log.wait(says, rank=1)


def test_what_is_lost_in_a_destructor_reaches_the_log(host: Host) -> None:
    assert host.call("unraisable").code == 1
    host.log.wait("lost in __del__", rank=1)


def test_the_reason_of_a_reply_has_its_call_id_too(host: Host) -> None:
    assert "test@192.0.2.1" in host.call("raises", OK).error


def test_edits_of_a_method_that_raised_are_dropped(host: Host) -> None:
    result = host.call("edits_then_raises")
    assert (result.edits, result.new_uri, result.dst_uri) == ((), None, None)


def test_edits_of_a_method_that_raised_can_be_kept() -> None:
    with Host(FAULTS, keep_edits_on_error=True) as host:
        result = host.call("edits_then_raises")
        assert result.code == -1
        assert result.new_uri == "sip:gone@example.net"
        assert len(result.edits) == 3


def test_failures_in_many_ranks_at_once() -> None:
    methods = ["raises", "none", "absent", "exits", "recursion", "fine"]
    with Host(FAULTS, 4) as host:
        for method in methods * 20:
            codes = {result.code for result in host.each(method)}
            assert codes == {7 if method == "fine" else -1}


def test_the_error_is_this_calls_own_with_a_busy_thread(tmp_path: Path) -> None:
    """The reason is taken before the GIL is let go, though a thread raises all the time."""
    script = tmp_path / "busy.py"
    script.write_text(
        "import threading\n"
        "class H:\n"
        "    def child_init(self, rank):\n"
        "        self.end = False\n"
        "        threading.Thread(target=self.work).start()\n"
        "        return 0\n"
        "    def work(self):\n"
        "        while not self.end:\n"
        "            try: raise KeyError('of the thread')\n"
        "            except KeyError: pass\n"
        "    def raises(self, msg): raise ValueError('of the call')\n"
        "    def stop(self, msg):\n"
        "        self.end = True\n"
        "        return 1\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    with Host(script) as host:
        for _ in range(200):
            error = host.call("raises").error
            assert "of the call" in error
            assert "of the thread" not in error
        assert host.call("stop").code == 1
