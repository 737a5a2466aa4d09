"""Turn a .py file into a C header that holds its text: embed_text.py INPUT OUTPUT NAME.

The rank's bootstrap and the main interpreter's rules are Python, and live in libisoexec: a C host
has no package to import them from. A syntax error in them is found here, when the library is built.
"""

import sys
from pathlib import Path


def c_literal(line: str) -> str:
    """One source line as a C string literal, line end included."""
    out = []
    for octet in line.encode():
        if octet in b'"\\':
            out.append("\\" + chr(octet))
        elif 0x20 <= octet < 0x7F:
            out.append(chr(octet))
        else:
            out.append(f"\\{octet:03o}")
    return '"' + "".join(out) + '"'


def main() -> None:
    source, target, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    text = source.read_text(encoding="utf-8")
    compile(text, str(source), "exec", dont_inherit=True)
    lines = text.splitlines(keepends=True)
    body = "\n".join("    " + c_literal(line) for line in lines)
    target.write_text(
        f"/* Made from {source.name} by tools/embed_text.py. */\n"
        f"static const char {name}[] =\n{body};\n",
        encoding="ascii",
    )


main()
