"""The table of settings, and single values of them: as given, as texts for the library.

Names, kinds, ranges and defaults stand in one table, inside the C library; this module reads it and
adds nothing to it. A value is checked by the library too, so all ways in agree.
"""

import datetime
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from isoexec import _native
from isoexec.errors import ConfigError

ENVIRONMENT_PREFIX = "ISOEXEC_"

type Value = (
    str
    | int
    | bool
    | float
    | datetime.timedelta
    | os.PathLike[str]
    | Sequence[str | os.PathLike[str]]
    | Mapping[str, str]
)
"""What a setting may be given as.

A time: seconds, ``"20ms"`` or a timedelta. A size: octets or ``"64M"``. A list: list or tuple, or a
text with commas; ``environment`` also a mapping. Every kind: its text.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the settings table."""

    name: str
    type: str
    """``"str"``, ``"list"``, ``"int"``, ``"bool"``, ``"choice"``, ``"time"`` or ``"size"``."""
    scope: str
    """``"engine"``: one value for the engine. The others may differ from rank to rank: ``"rank"``;
    ``"interpreter"``, not with isolation main; ``"process"``, only with isolation process."""
    choices: tuple[str, ...]
    """The words of a choice."""
    item: str
    """What an item of a list is: ``"MODULE"``, ``"FOLDER"``, ``"NAME=VALUE"``."""
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

    def acts_on(self, isolation: str) -> bool:
        """Whether a rank with that isolation can have it."""
        if self.scope == "process":
            return isolation == "process"
        return self.scope != "interpreter" or isolation != "main"


def table() -> dict[str, Setting]:
    """The settings table of the loaded library, by name, in its order."""
    made = {}
    for name, kind, scope, choices, default, allowed, low, high, doc in _native.settings():
        # Of "off=0|sampled=1" the words: the number behind a word is the library's affair.
        words = tuple(choice.partition("=")[0] for choice in choices.split("|") if choice)
        a_list = kind == "list"
        made[name] = Setting(
            name=name,
            type=kind,
            scope=scope,
            choices=() if a_list else words,
            item=choices if a_list else "",
            default=default,
            range_text=allowed,
            minimum=low,
            maximum=high,
            doc=doc,
        )
    return made


TABLE = table()
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str, os.PathLike),
    "list": (str, list, tuple),
    "int": (int, str),
    "choice": (int, str),
    "bool": (int, str),
    "time": (int, float, datetime.timedelta, str),
    "size": (int, str),
}
_RANGE = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class Given:
    """One setting as it was given, for all ranks or for some, and where."""

    name: str
    value: object
    source: str = ""
    """For a reader: ``"ISOEXEC_GRACE"``, ``"isoexec.toml [rank.3-4]"``; empty: the caller's."""
    ranks: str | None = None
    """``"3-4"``, ``"1,3-4"``; None: all."""

    @property
    def text(self) -> str:
        """The value as text for the library.

        :raises ConfigError: it is of a kind that the setting can not be.
        """
        row, value = TABLE[self.name], self.value
        if row.item == "NAME=VALUE" and isinstance(value, Mapping):
            value = [f"{name}={text}" for name, text in value.items()]
        right = isinstance(value, _TYPES[row.type])
        if not right or (isinstance(value, bool) and row.type != "bool"):
            raise ConfigError(f"{self.name} must be {row.range_text}, not {value!r}")
        text = _list_text(self.name, value) if isinstance(value, (list, tuple)) else _plain(value)
        if "\0" in text:
            raise ConfigError(f"{self.name} must not contain NUL")
        return text

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First and last rank of each range of `ranks`; empty for all ranks.

        :raises ConfigError: `ranks` can not be read.
        """
        parts = [] if self.ranks is None else self.ranks.replace(" ", "").split(",")
        spans = []
        for part in parts:
            found = _RANGE.fullmatch(part)
            first = int(found[1]) if found else 0
            last = int(found[2] or first) if found else -1
            if last < first:
                raise ConfigError(f"{self.ranks!r} names no ranks: write 2, 3-4 or 1,3-4")
            spans.append((first, last))
        return spans

    def fault(self) -> str | None:
        """What is wrong with this value alone, with where it stands, or None."""
        try:
            problem = self._problem()
        except ConfigError as error:
            problem = str(error)
        return f"{self.source}: {problem}" if problem and self.source else problem

    def _problem(self) -> str | None:
        spans = self.spans
        row = TABLE.get(self.name)
        if row is None:  # the library knows the nearest name
            return _native.check_setting(self.name.replace("\0", "\\0"), b"")
        if spans and row.scope == "engine":
            return f"{self.name} is one for the whole engine: give it without ranks"
        return _native.check_setting(self.name, self.text.encode("utf-8", "surrogateescape"))


def _plain(value: object) -> str:
    """No exponents, no True."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    if isinstance(value, float):
        return f"{value:.9f}"
    if isinstance(value, datetime.timedelta):
        return f"{value // datetime.timedelta(microseconds=1)}us"
    return str(int(value)) if isinstance(value, int) else str(value)


def _list_text(name: str, items: Sequence[object]) -> str:
    """One item a line, so that an item may hold commas."""
    lines = []
    for item in items:
        if not isinstance(item, (str, os.PathLike)):
            raise ConfigError(f"{name} must be a list of texts, not of {item!r}")
        line = os.fsdecode(item)
        if "\n" in line or "\r" in line:
            raise ConfigError(f"{name}: {line!r} must not contain a line end")
        lines.append(line + "\n")
    return "".join(lines)


def given_rows(
    values: Mapping[str, object], source: str = "", ranks: str | None = None
) -> list[Given]:
    """A row of each value that is not None."""
    return [
        Given(name, value, source, ranks) for name, value in values.items() if value is not None
    ]


def per_rank_rows(per_rank: object, source: Callable[[object], str]) -> list[Given]:
    """The rows of ``{"3-4": {"deadline": 0.1}}``; `source` says where those of some ranks stand.

    :raises ConfigError: it is not of that form.
    """
    if not isinstance(per_rank, Mapping):
        raise ConfigError(f"{source('...')} must be settings by ranks, not {per_rank!r}")
    rows = []
    for ranks, values in per_rank.items():
        if not isinstance(values, Mapping):
            raise ConfigError(f"{source(ranks)} must be settings by their names, not {values!r}")
        rows += given_rows(values, source(ranks), str(ranks))
    return rows


def raise_faults(faults: Sequence[str]) -> None:
    """One ConfigError that lists each fault once, if there are any.

    :raises ConfigError: there are.
    """
    lines = list(dict.fromkeys(faults))
    if len(lines) == 1:
        raise ConfigError(lines[0])
    if lines:
        raise ConfigError("\n  ".join([f"{len(lines)} settings are wrong:", *lines]))
