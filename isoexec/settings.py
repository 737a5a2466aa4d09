"""Settings of an engine, from keywords, TOML, the environment and the command line.

Names, types, ranges and defaults stand in one table, inside the C library; this module reads it and
adds nothing to it. A value is checked by the library too, so all ways in agree.
"""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from isoexec import _native
from isoexec.errors import ConfigError

__all__ = ["ENVIRONMENT_PREFIX", "Setting", "Settings", "Value", "table"]

ENVIRONMENT_PREFIX = "ISOEXEC_"
TOML_TABLE = "engine"

type Value = str | int | bool | float
"""What a setting may be given as; times in seconds or as ``"20ms"``."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table."""

    name: str
    type: str
    """``"str"``, ``"list"``, ``"int"``, ``"bool"``, ``"choice"``, ``"time"`` or ``"size"``."""
    scope: str
    """``"engine"``; ``"rank"``, ``"interpreter"`` or ``"process"``, which ranks may override."""
    choices: tuple[str, ...]
    default: str
    """Text of the default, ``""`` for none."""
    range_text: str
    """What may be given, for a reader: ``"1 to 1024"``, ``"1ms to 1h"``, ``"off or on"``."""
    minimum: int
    """Of a number; times in ns, sizes in octets."""
    maximum: int
    doc: str

    @property
    def environment(self) -> str:
        """Name of the environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def option(self) -> str:
        """Name of the command line option."""
        return "--" + self.name.replace("_", "-")


def table() -> dict[str, Setting]:
    """The settings table of the loaded library, by name, in its order."""
    rows = (
        Setting(name, kind, scope, _words(choices), default, allowed, low, high, doc)
        for name, kind, scope, choices, default, allowed, low, high, doc in _native.settings()
    )
    return {row.name: row for row in rows}


def _words(choices: str) -> tuple[str, ...]:
    """The words of ``"off=0|sampled=1"``: the number behind a word is the library's affair."""
    return tuple(choice.partition("=")[0] for choice in choices.split("|") if choice)


_TABLE = table()
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int, str),
    "choice": (int, str),
    "bool": (int, str),
    "time": (int, float, str),
    "size": (int, str),
}


def _text(value: object) -> str:
    """The text of a value, for the library: no exponents, no True."""
    if isinstance(value, float):
        return f"{value:.9f}"
    return str(int(value)) if isinstance(value, int) else str(value)


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _TABLE, n=1)
    return f"there is no setting {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _problem(name: str, value: object) -> str | None:
    """What is wrong with a setting, or None."""
    row = _TABLE.get(name)
    if row is None:
        return _unknown(name)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    right = _TYPES.get(row.type, (str,))
    if not isinstance(value, right) or (isinstance(value, bool) and row.type != "bool"):
        return f"{name} must be {row.range_text}, not {value!r}"
    text = _text(value)
    if "\0" in text:
        return f"{name} must not contain NUL"
    return _native.check_setting(name, os.fsencode(text))


class Settings(Mapping[str, Value]):
    """Settings that were given, by name; everything else keeps its default.

    ``Settings(ranks=8, timing="full")`` checks each name and value and raises one
    :class:`~isoexec.errors.ConfigError` that lists every problem. None as a value means: not given.
    Immutable; :meth:`merged` makes a new one. ``isoexec config template`` prints every setting
    with its meaning, unit, range and default.
    """

    __slots__ = ("_values",)

    def __init__(self, **values: Value | os.PathLike[str] | None) -> None:
        given = {name: value for name, value in values.items() if value is not None}
        _raise_problems(_problem(name, value) for name, value in given.items())
        self._values: dict[str, Value] = {
            name: value if isinstance(value, (str, int, float)) else os.fspath(value)
            for name, value in given.items()
        }

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"

    def merged(self, other: Mapping[str, Value | os.PathLike[str] | None]) -> "Settings":
        """A copy in which the values of `other` win. None keeps the value there is."""
        return Settings(**self._values | {k: v for k, v in other.items() if v is not None})

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> "Settings":
        """Reads the table ``[engine]`` of a TOML file.

        :raises ConfigError: the file can not be read or is no TOML, or a setting is wrong.
        """
        return cls(**_read_toml(path))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Reads ``ISOEXEC_<NAME>`` of each setting, by default from ``os.environ``.

        Other variables that start with ``ISOEXEC_`` are not looked at: other parts use them.
        """
        return cls(**_read_environment(os.environ if environment is None else environment))

    @classmethod
    def load(
        cls,
        given: Mapping[str, Value | os.PathLike[str] | None] | None = None,
        *,
        toml: str | os.PathLike[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> "Settings":
        """Puts all ways in together: `given` wins over the environment, that over the TOML file.

        :param given: settings of the command line or of a caller.
        :param toml: path of a TOML file, or None for none.
        :param environment: variables to read, or None for ``os.environ``.
        :raises ConfigError: lists the problems of all three, each with where it comes from.
        """
        sources: list[tuple[str, Mapping[str, object]]] = []
        if toml is not None:
            sources.append((str(toml), _read_toml(toml)))
        variables = _read_environment(os.environ if environment is None else environment)
        sources.append(("environment", variables))
        sources.append(("", {k: v for k, v in (given or {}).items() if v is not None}))
        _raise_problems(
            f"{source}: {problem}" if source and problem else problem
            for source, values in sources
            for problem in (_problem(name, value) for name, value in values.items())
        )
        merged: dict[str, Value | os.PathLike[str] | None] = {}
        for _, values in sources:
            merged.update(values)  # type: ignore[arg-type]  # checked above
        return cls(**merged)


def _raise_problems(found: Iterable[str | None]) -> None:
    problems = [problem for problem in found if problem]
    if problems:
        raise ConfigError("; ".join(problems))


def _read_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        row.name: environment[row.environment]
        for row in _TABLE.values()
        if row.environment in environment
    }


def _read_toml(path: str | os.PathLike[str]) -> dict[str, Value]:
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can not be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error
    values = document.get(TOML_TABLE, {})
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {TOML_TABLE} must be a table, [{TOML_TABLE}]")
    return values
