"""The suite of measurements: what it refuses, what it works out, and that wrong answers fail."""

import sys
from pathlib import Path
from typing import Any

import pytest

from support.corpus import CHECKOUT
from support.run import run

sys.path.append(str(CHECKOUT))  # `perf` is no part of the package

from perf.cases import CASES
from perf.floor.build import FloorError
from perf.floor.run import Results
from perf.rivals import RIVALS
from perf.rivals.rival import Rival
from perf.suite import measure, results, work
from perf.suite.results import Run
from perf.suite.text import quantity, wins_of_rivals

OWN = "isoexec"


def command(*words: str) -> Any:
    return run([sys.executable, "-m", "perf", *words], cwd=CHECKOUT)


@pytest.mark.parametrize("name", RIVALS)
def test_each_rival_does_the_work(name: str) -> None:
    with RIVALS[name](1) as rival:
        for method, expected in work.ANSWERS.items():
            assert rival.call(method, work.MESSAGE) == expected, method
            assert rival.series(method, work.MESSAGE, 2) == 2 * expected


@pytest.mark.parametrize("name", [name for name in RIVALS if not RIVALS[name].single])
def test_each_rival_with_two_callers(name: str) -> None:
    if name == "asyncio_executor":
        return  # its loop is one thread's
    with RIVALS[name](2) as rival:
        assert measure.throughput(rival, "reads", 2, 0.02) > 0


class Liar(Rival):
    name, what, crosses = "liar", "answers wrong", "nothing"

    def call(self, method: str, message: bytes) -> int:
        return 12345


def test_a_wrong_answer_is_no_sample() -> None:
    with pytest.raises(measure.WrongAnswerError, match="liar: empty answered 12345, not 1"):
        measure.in_turn([Liar], ["empty"], 1, 0.001, measure.Plan())
    with pytest.raises(measure.WrongAnswerError):
        measure.throughput(Liar(), "empty", 2, 0.01)


def test_the_message_has_the_length_it_says() -> None:
    assert len(work.MESSAGE) == work.LENGTH


def a_run(case: str, **sides: list[float]) -> Run:
    return Run(Results("0", None), {case: {"empty": sides}})


def test_ratios_to_the_best_rival() -> None:
    case = CASES["round_trip"]
    run_ = a_run("round_trip", isoexec=[2.0, 4.0, 3.0], slow=[300.0], fast=[6.0], plain=[1.0])
    sides = results.figures(run_.cases["round_trip"])["empty"]
    assert sides[OWN].median == 3.0
    assert results.best_rival(case, sides) == "fast"
    assert results.advantage(case, 3.0, 6.0) == 2.0
    assert results.advantage(CASES["scaling"], 3.0, 6.0) == 0.5
    assert not wins_of_rivals(run_, CASES)


def test_where_a_rival_wins_is_said() -> None:
    run_ = a_run("memory", isoexec=[5.0], fork=[1.3])
    assert wins_of_rivals(run_, CASES) == [
        "Memory of one more rank, empty: fork 1.3 MiB, isoexec 5 MiB"
    ]


def test_a_regression_is_one_of_ratios() -> None:
    old = a_run("round_trip", isoexec=[2.0], fast=[20.0])
    slower_machine = a_run("round_trip", isoexec=[4.0], fast=[40.0])
    worse = a_run("round_trip", isoexec=[3.0], fast=[20.0])
    assert not results.regressions(slower_machine, old, CASES, 1.15)
    (line,) = results.regressions(worse, old, CASES, 1.15)
    assert line == "round_trip, empty: isoexec was 10.00 of fast, is 6.67"


def test_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    run_ = a_run("round_trip", isoexec=[2.0])
    run_.save(tmp_path / "deep" / "results.json")
    again = results.load(tmp_path / "deep" / "results.json")
    assert (again.cases, again.results.machine) == (run_.cases, run_.results.machine)


def test_an_editable_install_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Editable:
        version = "0"

        @staticmethod
        def read_text(name: str) -> str:
            return '{"dir_info": {"editable": true}}'

    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Editable())
    with pytest.raises(FloorError, match="editable"):
        results.require_release()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (91.23, "ns", "91.2 ns"),
        (1234.0, "ns", "1.23 us"),
        (0.0805, "s", "80.5 ms"),
        (2.5, "s", "2.5 s"),
        (150.0, "calls/s", "150 calls/s"),
        (193500.0, "calls/s", "193.5k/s"),
        (4.68, "MiB", "4.68 MiB"),
    ],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_the_commands(tmp_path: Path) -> None:
    listed = command("list").expect().out
    assert all(name in listed for name in (*CASES, *RIVALS))
    path = str(tmp_path / "results.json")
    words = ("round_trip", "--rival", OWN, "--rival", "plain", "--quick", "--out", path)
    assert "Round trip of one call" in command("run", *words).expect().out
    assert "0 ratios are worse" in command("compare", path, path).expect().out
    assert "there is no case x" in command("run", "x").expect(2).err
    assert "there is no rival x" in command("run", "--rival", "x").expect(2).err
