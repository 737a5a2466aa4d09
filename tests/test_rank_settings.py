"""Settings of single ranks: every way in, what wins, what is refused, what each rank gets."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from isoexec import AsyncEngine, Engine, RankSettings, Settings, errors
from isoexec.settings import table
from support.host import Host
from support.messages import INVITE
from support.queues import BASIC

FAULTS = Path(__file__).parent / "handlers" / "faults.py"
OF_ENGINE = [name for name, row in table().items() if row.scope == "engine"]


def problems(error: Any) -> list[str]:
    return [line.strip() for line in str(error.value).splitlines()]


def values(settings: Settings, name: str, ranks: int = 4) -> list[str | None]:
    return [settings.of_rank(number)[name].value for number in range(1, ranks + 1)]


@pytest.mark.parametrize("name", OF_ENGINE)
def test_what_is_the_engines_is_no_setting_of_a_rank(name: str) -> None:
    with pytest.raises(errors.ConfigError, match=f"{name} is one for the whole engine"):
        RankSettings(**{name: table()[name].default})


def test_rank_settings_are_a_mapping_that_names_every_problem() -> None:
    assert dict(RankSettings(deadline=0.05, grace=None)) == {"deadline": 0.05}
    assert repr(RankSettings(grace="1s")) == "RankSettings(grace='1s')"
    with pytest.raises(errors.ConfigError) as caught:
        RankSettings(deadlin=1, deadline=0, soft_deadline=-1, isolation="none")
    assert len(problems(caught)) == 5
    assert "nearest is deadline" in str(caught.value)


@pytest.mark.parametrize(
    ("ranks", "who"),
    [
        ("3-4", "34"),
        ("2", "2"),
        (2, "2"),
        ("1,3-4", "134"),
        (" 1 , 3 - 4 ", "134"),
        ("1-4", "1234"),
    ],
)
def test_ranges(ranks: str | int, who: str) -> None:
    settings = Settings(ranks=4, grace="1s", per_rank={ranks: {"grace": 2}})
    assert values(settings, "grace") == ["2s" if str(n) in who else "1s" for n in range(1, 5)]
    assert settings.of_rank(int(who[0]))["grace"].source == f"per_rank {ranks}"


@pytest.mark.parametrize(
    "ranks", ["", "x", "4-3", "1-", "-1", "1,,2", "1;2", "1-2-3", "9999999999", -1, 1.5, None, "١"]
)
def test_ranges_that_name_no_ranks(ranks: Any) -> None:
    with pytest.raises(errors.ConfigError, match="3-4"):
        Settings(per_rank={ranks: {"grace": 2}})


@pytest.mark.parametrize("ranks", [0, "0-1", 5, "4-5", "1,5", "5-999999999"])
def test_ranks_that_are_not_there(ranks: str | int) -> None:
    with pytest.raises(errors.ConfigError, match="ranks allows 1 to 4"):
        Engine(str(FAULTS), ranks=4, per_rank={ranks: {"grace": 2}})
    Settings(per_rank={ranks: {"grace": 2}})  # how many there are may come later


@pytest.mark.parametrize("per_rank", [[1], "1", {1: 5}, {1: None}, {1: [("grace", 1)]}, 3])
def test_what_is_no_per_rank(per_rank: Any) -> None:
    with pytest.raises(errors.ConfigError, match="per_rank"):
        Settings(per_rank=per_rank)


def test_one_error_lists_every_problem_and_where_it_stands() -> None:
    with pytest.raises(errors.ConfigError) as caught:
        Engine(
            str(FAULTS),
            ranks=4,
            timing="never",
            memory_limit="64M",
            per_rank={
                "1": {"isolation": "main", "recursion_limit": 100},
                "3-4": {"deadline": 0, "graec": 1, "timing": "off"},
                2: {"restart_limit": 1},
                "5": {"grace": 1},
                "a": {"grace": 1},
            },
        )
    found = problems(caught)
    for start, says in (
        ("timing: ", "sampled"),
        ("memory_limit: ", "isolation process"),
        ("per_rank 1: recursion_limit: ", "isolation main"),
        ("per_rank 3-4: deadline: ", "none is no limit"),
        ("per_rank 3-4: there is no setting graec", "grace"),
        ("per_rank 3-4: timing is one for the whole engine", ""),
        ("per_rank 2: restart_limit: ", "isolation process"),
        ("per_rank 5: there is no such rank", "1 to 4"),
        ("per_rank a: ", "1,3-4"),
    ):
        assert any(line.startswith(start) and says in line for line in found), (start, found)


@pytest.mark.parametrize(
    "value", [0.02, "20ms", "0.02", "20000us", timedelta(milliseconds=20), "0.02 s"], ids=repr
)
def test_a_time(value: Any) -> None:
    settings = Settings(deadline=value, per_rank={2: {"grace": value}})
    assert settings.of_rank(1)["deadline"].value == "20ms"
    assert values(settings, "grace") == ["5s", "20ms", "5s", "5s"]


def test_times_that_are_none() -> None:
    for wrong in (timedelta(0), timedelta(seconds=-1), timedelta(hours=2)):
        with pytest.raises(errors.ConfigError, match="deadline"):
            RankSettings(deadline=wrong)
    with pytest.raises(errors.ConfigError, match="ranks"):
        Settings(ranks=timedelta(1))
    settings = Settings(deadline=1, per_rank={2: {"deadline": "none"}})
    assert values(settings, "deadline") == ["1s", "none", "1s", "1s"]


def test_lists() -> None:
    def text(value: Any) -> str | None:
        return Settings(environment=value).of_rank(1)["environment"].value

    assert text({"A": "1,2", "B": ""}) == text(["A=1,2", "B="]) == text(("A=1,2", "B="))
    assert text({"A": "1,2", "B": ""}) == "A=1,2\nB=\n"
    assert text("A=1,B=2") == "A=1,B=2"
    assert text({}) == ""
    for wrong in ([1], ["A"], ["=1"], "A", {"": "x"}, {"A": "x\ny"}, ["A=\0"], {"A": 1}.items(), 5):
        with pytest.raises(errors.ConfigError, match="environment"):
            Settings(environment=wrong)
    for wrong in (["a b"], "a;b", [".a"], {"a": "b"}, ["a\n"]):
        with pytest.raises(errors.ConfigError, match="deny_imports"):
            Settings(deny_imports=wrong)
    assert Settings(sys_path=[Path("a"), "b,c"]).texts == {"sys_path": "a\nb,c\n"}


def test_what_wins(tmp_path: Path) -> None:
    """A value for some ranks over one for all, wherever it stands; then the nearer source."""
    path = tmp_path / "isoexec.toml"
    path.write_text(
        '[engine]\nranks = 4\ngrace = "1s"\n[rank.1-3]\ngrace = "2s"\ndeadline = 1\n'
        '[rank."2,3"]\nenvironment = { A = "1,2" }\ngrace = "3s"\n',
        encoding="utf-8",
    )
    environment = {
        "ISOEXEC_GRACE": "10",
        "ISOEXEC_RANK_3_GRACE": "11s",
        "ISOEXEC_RANK_1_4_GRACE": "12s",
        "ISOEXEC_RANK_X_GRACE": "not looked at",
    }
    assert values(Settings.from_toml(path), "grace") == ["2s", "3s", "3s", "1s"]
    assert values(Settings.from_toml(path), "environment")[1:] == ["A=1,2\n", "A=1,2\n", "none"]
    assert values(Settings.from_environment(environment), "grace") == ["12s", "12s", "11s", "12s"]
    loaded = Settings.load({"grace": 20}, toml=path, environment=environment)
    assert values(loaded, "grace") == ["12s", "12s", "11s", "12s"]
    assert values(loaded, "deadline") == ["1s", "1s", "1s", "none"]
    nearest = loaded.merged({"grace": 30}, {3: {"grace": 31}})
    assert values(nearest, "grace") == ["12s", "12s", "31s", "12s"]
    assert loaded.merged({}, {}).per_rank == loaded.per_rank
    assert list(loaded.per_rank) == ["1-3", "2,3", "1-4", "3-3"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rank = 5\n", r"\[rank\.\.\.\.\]"),
        ("[rank]\ngrace = 1\n", r"\[rank\.grace\]"),
        ("[[rank]]\nranks = '1'\n", r"\[rank\.\.\.\.\]"),
        ("[rank.1]\ngrace = [1]\n", r"\[rank\.1\]: grace"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "odd {0}.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(errors.ConfigError, match=rf"odd \{{0\}}\.toml {says}"):
        Settings.from_toml(path)


def test_a_value_for_all_acts_on_the_ranks_that_can_have_it() -> None:
    settings = Settings(
        ranks=2, recursion_limit=500, memory_limit="64M", per_rank={2: {"isolation": "process"}}
    )
    assert values(settings, "memory_limit", 2) == [None, "64M"]
    assert values(settings, "recursion_limit", 2) == ["500", "500"]
    alone = Settings(ranks=1, recursion_limit=500, isolation="main")
    assert alone.of_rank(1)["recursion_limit"].source == "not with isolation main"
    with pytest.raises(errors.ConfigError, match="recursion_limit: it acts on a whole"):
        alone.check()


def test_each_rank_runs_with_its_own(tmp_path: Path) -> None:
    script = tmp_path / "limit.py"
    script.write_text(
        "import sys\n"
        "class H:\n"
        "    def child_init(self, rank): return 0\n"
        "    def go(self, msg): return sys.getrecursionlimit()\n"
        "def mod_init(): return H()\n",
        encoding="utf-8",
    )
    per_rank = {"2-3": RankSettings(recursion_limit=700), 3: {"recursion_limit": 800}}
    given = RankSettings(recursion_limit=600)
    with Host(script, 4, settings=given, per_rank=per_rank) as host:
        assert [result.code for result in host.each("go")] == [600, 700, 800, 600]
    with Engine(script, settings=given, per_rank=per_rank) as engine:
        codes = [engine.python_exec("go", INVITE, rank=n).code for n in range(1, 5)]
        assert codes == [600, 700, 800, 600]


def test_channels_side_by_side() -> None:
    with Engine(BASIC, ranks=3, per_rank={1: {"channel": "inline"}}) as engine:
        assert engine.channel == "queue"
        with engine.open_rank(1) as rank:
            for _ in range(20):
                assert engine.python_exec("who", INVITE).rank in (2, 3)
                assert rank.python_exec("who", INVITE).rank == 1
            for refused in (engine.python_exec, engine.submit):
                with pytest.raises(errors.RankError, match=r"rank 1 .*open_rank\(1\)"):
                    refused("who", INVITE, rank=1)
            with pytest.raises(errors.RankError, match="rank 2 has a thread of its own"):
                engine.open_rank(2)
        assert engine.python_exec("who", INVITE, rank=2).rank == 2
        assert sum(row.calls for row in engine.stats()) == 41


def test_a_queue_rank_of_an_inline_engine() -> None:
    per_rank = {"2": {"channel": "queue"}}
    with Engine(BASIC, ranks=2, channel="inline", per_rank=per_rank) as engine:
        assert engine.python_exec("who", INVITE).rank == 2
        with engine.open_rank(1) as rank:
            assert rank.python_exec("who", INVITE).rank == 1


def test_channels_of_an_async_engine() -> None:
    async def main() -> None:
        async with AsyncEngine(BASIC, ranks=2, per_rank={1: {"channel": "inline"}}) as engine:
            assert (await engine.python_exec("who", INVITE)).rank == 2
            with pytest.raises(errors.RankError, match="rank 1"):
                await engine.python_exec("who", INVITE, rank=1)
            with engine.engine.open_rank(1) as rank:
                assert rank.python_exec("who", INVITE).rank == 1

    anyio.run(main)
