"""Settings: one table, from which keywords, TOML, environment and docs are made."""

import sys
from pathlib import Path
from typing import Any

import pytest

from isoexec import Engine, Settings, errors
from isoexec.settings import table
from support.corpus import CHECKOUT
from support.run import run

FAULTS = Path(__file__).parent / "handlers" / "faults.py"


def test_every_row_says_what_it_is() -> None:
    assert {"script_name", "mod_init_function", "child_init_method", "ranks"} <= set(table())
    for name, row in table().items():
        assert row.name == name
        assert row.type in ("str", "list", "int", "bool", "choice", "time", "size")
        assert row.scope in ("engine", "rank", "interpreter", "process")
        assert row.doc.endswith(".")
        assert row.minimum <= row.maximum


def test_every_default_is_accepted() -> None:
    given = {name: row.default for name, row in table().items() if row.default}
    assert dict(Settings(**given)) == given


@pytest.mark.parametrize(
    "row", [row for row in table().values() if row.type == "int"], ids=lambda r: r.name
)
def test_the_range_of_a_number(row: Any) -> None:
    assert Settings(**{row.name: row.minimum})[row.name] == row.minimum
    assert Settings(**{row.name: str(row.maximum)})[row.name] == str(row.maximum)
    for wrong in (row.minimum - 1, row.maximum + 1, 2**70, -(2**70), "", "x", "1.5", 1.5, True, []):
        with pytest.raises(errors.ConfigError, match=row.name):
            Settings(**{row.name: wrong})


TIMES = [row for row in table().values() if row.type == "time"]


@pytest.mark.parametrize("row", TIMES, ids=lambda r: r.name)
def test_the_range_of_a_time(row: Any) -> None:
    low, high = row.minimum, row.maximum
    for right in (f"{low}ns", f"{high}ns", low / 1e9, high / 1e9, f"{high / 1e6}ms"):
        assert Settings(**{row.name: right})[row.name] == right
    for wrong in (f"{low - 1}ns", f"{high + 1}ns", -1, "", "x", "1e3s", "0x5s", "inf", True, []):
        with pytest.raises(errors.ConfigError, match=row.name):
            Settings(**{row.name: wrong})


@pytest.mark.parametrize("name", ["deadline", "soft_deadline", "memory_limit"])
def test_none_takes_a_limit_away_and_zero_is_no_limit(name: str) -> None:
    assert Settings(**{name: "none"})[name] == "none"
    for wrong in (0, "0", -1):
        with pytest.raises(errors.ConfigError, match=f"{name}.*none"):
            Settings(**{name: wrong})
    with pytest.raises(errors.ConfigError, match="grace"):
        Settings(grace="none")


@pytest.mark.parametrize(
    "row", [row for row in table().values() if row.type == "choice"], ids=lambda r: r.name
)
def test_the_words_of_a_choice(row: Any) -> None:
    for choice in row.choices:
        assert Settings(**{row.name: choice})[row.name] == choice
    for wrong in ("", "no such word", 5.5, []):
        with pytest.raises(errors.ConfigError, match=row.name):
            Settings(**{row.name: wrong})


@pytest.mark.parametrize(
    "row", [row for row in table().values() if row.type == "bool"], ids=lambda r: r.name
)
def test_a_switch(row: Any) -> None:
    for right in (True, False, "true", "false"):
        assert Settings(**{row.name: right})[row.name] == right
    for wrong in ("", "perhaps", 2, 1.5):
        with pytest.raises(errors.ConfigError, match=row.name):
            Settings(**{row.name: wrong})


def test_a_wrong_name_has_the_nearest_one() -> None:
    with pytest.raises(errors.ConfigError, match="grace"):
        Settings(graces=5)
    with pytest.raises(errors.ConfigError, match="mod_init_function"):
        Engine(str(FAULTS), channel="inline", mod_init_functoin="x")


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(errors.ConfigError) as caught:
        Settings(ranks=0, graces=5, timing="sometimes")
    for name in ("ranks", "graces", "timing"):
        assert name in str(caught.value)


def test_a_text_with_nul() -> None:
    with pytest.raises(errors.ConfigError, match="script_name"):
        Settings(script_name="a\0b")


@pytest.mark.parametrize("channel", ["", "queued", "in line"])
def test_a_wrong_channel(channel: str) -> None:
    with pytest.raises(errors.ConfigError, match="channel"):
        Engine(str(FAULTS), channel=channel)


def test_toml(tmp_path: Path) -> None:
    path = tmp_path / "isoexec.toml"
    path.write_text(
        '[engine]\nranks = 3\ntiming = "full"\nallow_threads = false\n', encoding="utf-8"
    )
    assert dict(Settings.from_toml(path)) == {"ranks": 3, "timing": "full", "allow_threads": False}
    with Engine(str(FAULTS), channel="inline", settings=Settings.from_toml(path)) as engine:
        assert engine.settings["ranks"] == 3
        with pytest.raises(errors.IsoexecError):
            engine.open_rank(4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[engine\n", "TOML"),
        ("engine = 5\n", "engine"),
        ("[engine]\nranks = 0\n", "ranks"),
        ("[engine]\nrankz = 1\n", "ranks"),
        ("[engine]\nranks = [1]\n", "ranks"),
        ("\udcff", "TOML"),
    ],
)
def test_wrong_toml(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "isoexec.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(errors.ConfigError, match=says):
        Settings.from_toml(path)


def test_a_toml_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match=r"absent\.toml"):
        Settings.from_toml(tmp_path / "absent.toml")


def test_the_environment() -> None:
    environment = {"ISOEXEC_RANKS": "3", "ISOEXEC_TIMING": "off", "ISOEXEC_OTHER": "x", "PATH": "/"}
    assert dict(Settings.from_environment(environment)) == {"ranks": "3", "timing": "off"}
    with pytest.raises(errors.ConfigError, match="ranks"):
        Settings.from_environment({"ISOEXEC_RANKS": "many"})


def test_what_wins(tmp_path: Path) -> None:
    path = tmp_path / "isoexec.toml"
    path.write_text("[engine]\nranks = 1\nmax_depth = 1\ngrace = 1\n", encoding="utf-8")
    environment = {"ISOEXEC_MAX_DEPTH": "2", "ISOEXEC_GRACE": "2"}
    loaded = Settings.load({"grace": 3}, toml=path, environment=environment)
    assert {name: int(loaded[name]) for name in loaded} == {
        "ranks": 1,
        "max_depth": 2,
        "grace": 3,
    }


@pytest.mark.skipif(not (CHECKOUT / "tools" / "make_docs.py").is_file(), reason="no checkout")
def test_the_docs_are_what_the_table_says(tmp_path: Path) -> None:
    run(
        [sys.executable, str(CHECKOUT / "tools" / "make_docs.py"), "--check"], cwd=tmp_path
    ).expect()
