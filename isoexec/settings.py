"""Settings of an engine and of single ranks, from keywords, TOML, environment and command line.

Two rules say what a rank gets. A value for some ranks wins over one for all, wherever each stands.
Among values of the same reach the command line, or the caller, wins over the environment, that over
the TOML file; in one place the later one wins.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from isoexec import _native
from isoexec._given import (
    ENVIRONMENT_PREFIX,
    TABLE,
    Given,
    Setting,
    Value,
    given_rows,
    per_rank_rows,
    raise_faults,
    table,
)
from isoexec._sources import environment_rows, toml_rows

__all__ = [
    "ENVIRONMENT_PREFIX",
    "Effective",
    "PerRank",
    "RankSettings",
    "Setting",
    "Settings",
    "Value",
    "table",
]

type PerRank = Mapping[str | int, Mapping[str, Value | None]]
"""Settings by the ranks that get them: ``{"3-4": RankSettings(isolation="process"), 1: {...}}``."""

# A problem that the library names: "ranks 3-4: memory_limit: only a rank with ...".
PROBLEM = re.compile(r"(?:ranks? (\d+)(?:-(\d+))?: )?((?:(\w+): )?.*)")


class _Values(Mapping[str, Value]):
    """Immutable values by name."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self._values.items())
        return f"{type(self).__name__}({shown})"


class RankSettings(_Values):
    """Settings that may differ from rank to rank, checked.

    ``RankSettings(isolation="process", deadline=0.05)``. None as a value means: not given.

    :raises ConfigError: lists every problem; settings of the whole engine are one.
    """

    __slots__ = ()

    def __init__(self, **values: Value | None) -> None:
        rows = given_rows(values, ranks="1")
        raise_faults([fault for row in rows if (fault := row.fault())])
        super().__init__(_by_name(rows))


@dataclass(frozen=True, slots=True)
class Effective:
    """What a rank gets of one setting."""

    value: str | None
    """As text; None if the rank can not have it."""
    source: str
    """Where it stands; ``"default"``, or why the rank can not have it."""


class Settings(_Values):
    """Settings that were given; everything else keeps its default.

    ``Settings(ranks=8, timing="full")`` checks each name and value and raises one
    :class:`~isoexec.errors.ConfigError` that lists every problem. None as a value means: not given.
    As a mapping it holds the values for all ranks. Immutable; :meth:`merged` makes a new one.
    ``isoexec config template`` prints every setting with its meaning, range and default.

    :param per_rank: what some ranks have of their own: ``{"3-4": {...}, 1: RankSettings(...)}``.
    """

    __slots__ = ("_rows",)

    def __init__(self, *, per_rank: PerRank | None = None, **values: Value | None) -> None:
        self._fill(rows_of(values, per_rank))

    def _fill(self, rows: Iterable[Given], together: bool = False) -> None:
        rows = tuple(rows)
        faults = [row.fault() for row in rows]
        found = [fault for fault in faults if fault]
        if together:
            good = [row for row, fault in zip(rows, faults, strict=True) if not fault]
            found += _faults_together(good)
        raise_faults(found)
        self._rows = rows
        super().__init__(_by_name(row for row in rows if row.ranks is None))

    @classmethod
    def _of(cls, rows: Iterable[Given], together: bool = False) -> "Settings":
        made = cls.__new__(cls)
        made._fill(rows, together)
        return made

    def merged(
        self, other: Mapping[str, Value | None], per_rank: PerRank | None = None
    ) -> "Settings":
        """A copy in which the values of `other` and `per_rank` win. None keeps what there is."""
        return Settings._of([*self._rows, *rows_of(other, per_rank)])

    @property
    def per_rank(self) -> dict[str, dict[str, Value]]:
        """What some ranks have of their own, by ranks, in the order in which it was given."""
        groups: dict[str, list[Given]] = {}
        for row in self._rows:
            if row.ranks is not None:
                groups.setdefault(row.ranks, []).append(row)
        return {ranks: _by_name(rows) for ranks, rows in groups.items()}

    @property
    def rank_count(self) -> int:
        """How many ranks the engine has."""
        return int(self.texts.get("ranks", TABLE["ranks"].default))

    @property
    def texts(self) -> dict[str, str]:
        """The values for all ranks as texts."""
        return _texts(self._rows)

    @property
    def overrides(self) -> tuple[tuple[int, int, str, str], ...]:
        """(first rank, last rank, name, text) of what some ranks have of their own."""
        return _overrides(self._rows)

    def of_rank(self, number: int) -> dict[str, Effective]:
        """What a rank gets of each setting, and from where.

        :param number: 1 to ``ranks``.
        :raises ArgumentError: there is no such rank.
        """
        texts = _native.settings_of_rank(self.texts, self.overrides, number)
        sources = {row.name: row.source or "given" for row in self._rows if row.ranks is None}
        for row in self._rows:
            if any(first <= number <= last for first, last in row.spans):
                sources[row.name] = row.source
        isolation = texts["isolation"]
        return {
            name: Effective(text, sources.get(name, "default"))
            if TABLE[name].acts_on(isolation)
            else Effective(None, f"not with isolation {isolation}")
            for name, text in texts.items()
        }

    def ranks(self) -> list[dict[str, Effective]]:
        """:meth:`of_rank` of each rank."""
        return [self.of_rank(number + 1) for number in range(self.rank_count)]

    def check(self) -> None:
        """Checks all values together, as an engine does before anything starts.

        :raises ConfigError: lists every problem, each with where it comes from: ranks that are not
            there, a setting that a rank's isolation can not have.
        """
        raise_faults(_faults_together(self._rows))

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> "Settings":
        """Reads the table ``[engine]`` of a TOML file, and tables for some ranks, ``[rank.3-4]``.

        :raises ConfigError: the file can not be read or is no TOML, or a setting is wrong.
        """
        return cls._of(toml_rows(path))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Reads ``ISOEXEC_<NAME>`` of each setting, by default from ``os.environ``.

        ``ISOEXEC_RANK_3_<NAME>`` and ``ISOEXEC_RANK_3_4_<NAME>`` are for one rank or a range.
        Other variables that start with ``ISOEXEC_`` are not looked at: other parts use them.
        """
        return cls._of(environment_rows(environment))

    @classmethod
    def load(
        cls,
        given: Mapping[str, Value | None] | None = None,
        *,
        per_rank: PerRank | None = None,
        toml: str | os.PathLike[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> "Settings":
        """Puts all ways in together: what is `given` wins over the environment, that over TOML.

        :param given: settings of a caller.
        :param per_rank: those for some ranks.
        :param toml: path of a TOML file, or None for none.
        :param environment: variables to read, or None for ``os.environ``.
        :raises ConfigError: lists the problems of all three, each with where it comes from.
        """
        rows = [] if toml is None else toml_rows(toml)
        return cls._of([*rows, *environment_rows(environment), *rows_of(given or {}, per_rank)])


def checked_together(*parts: Iterable[Given]) -> Settings:
    """Settings of rows that were read, later ones winning, checked as an engine does.

    :raises ConfigError: lists every problem of all parts.
    """
    return Settings._of([row for part in parts for row in part], together=True)


def rows_of(values: Mapping[str, Value | None], per_rank: PerRank | None = None) -> list[Given]:
    """What a caller gives, as rows; those of a :class:`Settings` keep where they stand."""
    rows = list(values._rows) if isinstance(values, Settings) else given_rows(values)
    return rows + per_rank_rows(per_rank or {}, "per_rank {}".format)


def _by_name(rows: Iterable[Given]) -> dict[str, Value]:
    return {
        row.name: row.text if isinstance(row.value, os.PathLike) else row.value  # type: ignore[misc]
        for row in rows
    }


def _texts(rows: Iterable[Given]) -> dict[str, str]:
    return {row.name: row.text for row in rows if row.ranks is None}


def _overrides(rows: Iterable[Given]) -> tuple[tuple[int, int, str, str], ...]:
    return tuple((*span, row.name, row.text) for row in rows for span in row.spans)


def _faults_together(rows: Iterable[Given]) -> list[str]:
    """What the library finds wrong with good values put together, with where they stand."""
    rows = list(rows)
    problems = _native.check_config(_texts(rows), _overrides(rows))
    return [_with_source(problem, rows) for problem in problems.splitlines()]


def _with_source(problem: str, rows: list[Given]) -> str:
    found = PROBLEM.fullmatch(problem)
    assert found is not None  # anything matches
    first, last, text, name = found.groups()
    spans = [(int(first), int(last or first))] if first else []
    for row in reversed(rows):
        if name in (None, row.name) and (set(spans) <= set(row.spans) if spans else not row.spans):
            return f"{row.source}: {text}" if row.source else problem
    return problem
