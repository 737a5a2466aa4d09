"""Write the generated pages of docs/ from the built module: make_docs.py [--check].

Run it with the Python that isoexec is installed in. --check writes nothing and exits 1 if a page is
not what it would write.
"""

import importlib
import sys
from pathlib import Path

from isoexec.settings import Setting, table

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

SETTINGS_HEAD = """\
# Settings

Made by `make docs` from the table in the library, which `iso_config_set()`, the Python API, TOML,
the environment and the command line are made from too. Do not edit this page.

## Where they are given

| | for all ranks | for some ranks |
|---|---|---|
| TOML file, `-c isoexec.toml` | `[engine]` and `deadline = "50ms"` | `[rank.3-4]` and `deadline = "20ms"` |
| environment | `ISOEXEC_DEADLINE=50ms` | `ISOEXEC_RANK_3_4_DEADLINE=20ms`, `ISOEXEC_RANK_3_DEADLINE=20ms` |
| command line | `--deadline 50ms`, `-o deadline=50ms` | `--rank 3-4:deadline=20ms` |
| Python | `Engine(..., deadline=0.05)` | `Engine(..., per_rank={"3-4": {"deadline": 0.02}})` |
| C | `iso_config.deadline`, `iso_config_set()` | `iso_config.overrides` |

Ranks are written `2`, `3-4` or `1,3-4` (in TOML then with quotes, `[rank."1,3-4"]`; not in the names
of variables).

A value for some ranks wins over one for all ranks, wherever each of them stands. Among values of the
same reach the command line wins over the environment, that over the TOML file; in one place the later
one wins (in the environment, which has no order, the narrower range).

`isoexec config show` prints what each rank gets and from where, `isoexec config template` a TOML file
with every setting. What is wrong is refused before anything starts, all problems at once.

## Values

- A time is `20ms`, `1.5s`, `5m` (ns, us, ms, s, m, h); a plain number is seconds. A size is `64M`
  (K, M, G, T) or octets. `none` takes a time or size away that has no value by default.
- A list is a TOML array or a text with commas; a text of more than one line has one item a line, which
  may hold commas. Blanks around an item do not count. `none` is no list, which is not the same as an
  empty one. `environment` may be a TOML table: `environment = { TZ = "UTC" }`.

## Scopes

| scope | who may have it |
|---|---|
| engine | one value for the engine |
| rank | every rank a value of its own |
| interpreter | the same, but not a rank with isolation main, which shares the interpreter of the host |
| process | only ranks with isolation process |

A value for all ranks acts on those that can have it, and is refused if none can; a value for ranks
that can not have it is refused.

## What scripts may import

`allow_imports` and `deny_imports` look at what the script's own files ask for: the script, and what lies
in its folder or below, but for site-packages and the standard library. What an allowed module imports for
itself is its own affair, so a list needs no internals: with `allow_imports = ["asyncio", "httpx"]` both
work, and `import socket` in the script is an `ImportError` that names the setting, and a line in the log.
A name stands for the module and all inside it; `xml.etree` allows `import xml.etree.ElementTree` and
`from xml import etree`, not `import xml`. Files of the script may import each other, `OpenSIPS` and
`isoexec`. This is a rule for the authors of scripts; it does not keep a hostile script in.

## Environment of a rank

The environment belongs to the process, and changing it while other threads read it is not safe. So
`os.environ` of a rank is its own from the start: it begins as the environment of the host with what the
setting `environment` adds, changes of it (also by `os.putenv`) stay in the rank, and processes that the
script starts with `subprocess`, `os.system` or `os.popen` get it. C libraries in the process do not see it:
for them give the variable to the host, or use isolation process, where it is real.

## All settings

| setting | scope | values | default | environment | what |
|---|---|---|---|---|---|
"""  # noqa: E501


def settings_row(row: Setting) -> str:
    default = f"`{row.default}`" if row.default else ""
    cells = [f"`{row.name}`", row.scope, row.range_text, default, f"`{row.environment}`", row.doc]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def settings_page() -> str:
    return SETTINGS_HEAD + "".join(settings_row(row) for row in table().values())


FAULTS_HEAD = """\
# Faults

Made by `make docs` from the rows of `tests/faults/`. `make faults` runs every cell, each in a
process of its own, on every CPython that is there. Do not edit this page.

What was measured with OpenSIPS 4.0.1 (module python) and Kamailio 5.6.3 (app_python3), and what
isoexec does on each isolation level. "Same": as the column before.

| a handler | Kamailio | OpenSIPS | own_gil | main | process |
|---|---|---|---|---|---|
"""


def faults_page() -> str:
    """The matrix as a page: the rows come from the tests, so that what it says was tried."""
    sys.path.insert(0, str(ROOT / "tests"))
    rows = importlib.import_module("faults.rows")
    lines = []
    for row in rows.ROWS:
        expected = [row.expected(level) for level in rows.LEVELS]
        shown = [expected[0]] + [
            "same" if text == before else text
            for before, text in zip(expected, expected[1:], strict=False)
        ]
        cells = [row.what, row.kamailio, row.opensips, *shown]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return FAULTS_HEAD + "".join(lines)


def pages() -> dict[str, str]:
    return {"settings.md": settings_page(), "faults.md": faults_page()}


def main() -> int:
    stale = 0
    for name, text in pages().items():
        path = DOCS / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = 1
        if "--check" in sys.argv[1:]:
            print(f"docs/{name} is out of date: make docs")
        else:
            path.write_text(text, encoding="utf-8")
            print(f"docs/{name} written")
    return stale if "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
