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


# ---- promises and the baseline


def kept_of(case: str, series: str, **sides: list[float]) -> dict[str, tuple[float, bool]]:
    """Own side of each promise of a case -> its ratio, and whether it is kept."""
    found = results.promises_of(CASES[case], {series: sides})
    return {kept.promise.own: (kept.ratio, kept.ok) for kept in found}


def test_promises_are_held_against_what_ran() -> None:
    assert kept_of("ladder", "batch", floor=[10.0], isoexec=[15.0]) == {OWN: (1.5, True)}
    assert kept_of("ladder", "batch", floor=[10.0], isoexec=[17.0]) == {OWN: (1.7, False)}
    assert kept_of("ladder", "batch", isoexec=[15.0]) == {}
    two = {"isoexec": [99.0], "floor": [100.0]}
    assert kept_of("scaling_from_c", "spin_10_us x 2", **two) == {OWN: (0.99, True)}
    two["isoexec"] = [97.0]
    assert kept_of("scaling_from_c", "spin_10_us x 2", **two) == {OWN: (0.97, False)}


def test_the_best_rival_is_one_that_crosses() -> None:
    """A thread is faster than a process, and no rival of a promise about processes."""
    sides = {"isoexec": [1.0], "threads": [2.0], "unix_socket": [31.0], "mp_pipe": [40.0]}
    assert kept_of("round_trip", "empty", **sides)[OWN] == (1 / 31, True)
    sides["mp_pipe"] = [29.0]
    assert kept_of("round_trip", "empty", **sides)[OWN] == (1 / 29, False)


def test_a_baseline_is_a_run(tmp_path: Path) -> None:
    """What is kept of a run says the same as the run, and a slower one is a regression."""
    run_ = a_run("round_trip", isoexec=[2.0, 3.0, 4.0], fast=[6.0, 6.5, 6.1])
    path = tmp_path / "new" / "baseline.json"
    results.reduced(run_).save(path)
    kept = results.load(path)
    assert results.figures(kept.cases["round_trip"])["empty"][OWN].median == 3.0
    assert results.regressions(run_, kept, CASES, 1.01) == []
    slower = a_run("round_trip", isoexec=[4.0], fast=[6.0])
    assert len(results.regressions(slower, kept, CASES, 1.2)) == 1
    slower.save(tmp_path / "slower.json")
    compared = command("compare", str(tmp_path / "slower.json"), str(path))
    assert compared.code == 1
    assert "round_trip, empty: isoexec was 2.03 of fast, is 1.50" in compared.out


def test_a_run_names_no_folder_of_its_machine() -> None:
    """It may be kept as the baseline, which everybody reads."""
    described = Results("0", None).machine
    assert described["python"] == ".".join(map(str, sys.version_info[:3]))
    assert not [value for value in described.values() if sys.base_prefix in str(value)]


def test_bench_is_the_suite_of_the_wheel(tmp_path: Path) -> None:
    """From any folder, with the suite that was installed."""
    program = Path(sys.executable).parent / "isoexec"
    listed = run([str(program), "bench", "list"], cwd=tmp_path).expect(0)
    assert all(f"{name} " in listed.out for name in [*CASES, *RIVALS])
    done = run([str(program), "bench", "run", "--quick", "--rival", OWN, "memory"], cwd=tmp_path)
    done.expect(0)
    assert (tmp_path / "build/perf/results.json").exists()
    wrong = run([str(program), "bench", "run", "nothing"], cwd=tmp_path)
    assert wrong.code == 2
    assert "there is no case nothing" in wrong.err


def test_pictures_need_matplotlib(tmp_path: Path) -> None:
    """Without it the figures are there all the same, and a sentence says what to install."""
    a_run("memory", isoexec=[5.0], fork=[1.3]).save(tmp_path / "run.json")
    (tmp_path / "matplotlib.py").write_text("raise ModuleNotFoundError(name='matplotlib')\n")
    words = [sys.executable, "-m", "perf", "plot", str(tmp_path / "run.json"), str(tmp_path)]
    done = run(words, cwd=CHECKOUT, env={"PYTHONPATH": str(tmp_path)})
    assert done.code == 1
    assert "pip install matplotlib" in done.err
