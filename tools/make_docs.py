"""Write the generated pages of docs/ from the built module: make_docs.py [--check].

Run it with the Python that isoexec is installed in. --check writes nothing and exits 1 if a page is
not what it would write.
"""

import sys
from pathlib import Path

from isoexec.settings import Setting, table

DOCS = Path(__file__).resolve().parent.parent / "docs"

SETTINGS_HEAD = """\
# Settings

Made by `make docs` from the table in the library, which `iso_config_set()`, the Python API, TOML,
the environment and the command line are made from too. Do not edit this page.

| setting | values | default | environment | what |
|---|---|---|---|---|
"""


def settings_row(row: Setting) -> str:
    default = f"`{row.default}`" if row.default else ""
    cells = [f"`{row.name}`", row.range_text, default, f"`{row.environment}`", row.doc]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def settings_page() -> str:
    return SETTINGS_HEAD + "".join(settings_row(row) for row in table().values())


def pages() -> dict[str, str]:
    return {"settings.md": settings_page()}


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
