"""Settings from a TOML file and from environment variables, each with where it stands."""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from isoexec._given import TABLE, Given, given_rows, per_rank_rows
from isoexec.errors import ConfigError

ENGINE_TABLE = "engine"
RANK_TABLE = "rank"
RANK_VARIABLE = re.compile(r"ISOEXEC_RANK_([0-9]+)(?:_([0-9]+))?_([A-Z].*)")


def toml_rows(path: str | os.PathLike[str]) -> list[Given]:
    """The table ``[engine]``, and each ``[rank.3-4]``, of a TOML file.

    :raises ConfigError: the file can not be read, is no TOML, or the tables are none.
    """
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} can not be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a TOML file: {error}") from error
    values = document.get(ENGINE_TABLE, {})
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: {ENGINE_TABLE} must be a table, [{ENGINE_TABLE}]")
    own = document.get(RANK_TABLE, {})
    rows = per_rank_rows(own, lambda ranks: f"{path} [{RANK_TABLE}.{ranks}]")
    return given_rows(values, f"{path} [{ENGINE_TABLE}]") + rows


def environment_rows(environment: Mapping[str, str] | None = None) -> list[Given]:
    """``ISOEXEC_GRACE`` for all ranks, ``ISOEXEC_RANK_3_GRACE`` and ``ISOEXEC_RANK_3_4_GRACE``.

    Other variables that start so are not looked at: other parts use them. The environment has no
    order, so the ranges are put from wide to narrow: one rank wins over a range that holds it.
    """
    variables = os.environ if environment is None else environment
    rows = [
        Given(row.name, variables[row.environment], row.environment)
        for row in TABLE.values()
        if row.environment in variables
    ]
    some = []
    for variable in sorted(variables):
        found = RANK_VARIABLE.fullmatch(variable)
        if found:
            first, last = found[1], found[2] or found[1]
            given = Given(found[3].lower(), variables[variable], variable, f"{first}-{last}")
            some.append((int(first) - int(last), given))
    some.sort(key=lambda pair: pair[0])
    return rows + [given for _, given in some]
