"""The rules that keep the house a house: check_house.py [ROOT]. Prints each breach, exits 1 if any.

Who may include whom, how long a file and a function may be, documented public functions, one
version, complete file lists of the build, no path of anyone's machine in a file of the project.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 600
HEADER_LINES = 500  # of a public header, to be read from end to end
FUNCTION_LINES = 60

SOCKET_HEADERS = re.compile(
    r"<(sys/socket|sys/un|netinet/\w+|arpa/inet|netdb|net/\w+|sys/epoll)\.h>"
)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+([<"][^>"]+[>"])', re.MULTILINE)
API = re.compile(r"^ISO_API [^(;]*?\b(iso_\w+)\(", re.MULTILINE)

# Written so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(
    r"(?<![\w.])/(?:work|root|home/[a-z]+|srv/forky)\b|\.lib" + r"rary\b|shared/" + "corpus"
)
MARKERS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
TEXT_SUFFIXES = {
    ".c",
    ".h",
    ".in",
    ".md",
    ".py",
    ".pyi",
    ".sh",
    ".toml",
    ".ini",
    ".build",
    ".supp",
    ".yaml",
    "",
    ".html",
    ".json",
    ".svg",
}


def project_files(root: Path) -> list[Path]:
    """What git has or would take: no build output, no venv."""
    command = [
        "git",
        "-C",
        str(root),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    try:
        listed = (
            subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
        )
        paths = [root / name for name in listed if name]
    except (OSError, subprocess.CalledProcessError):  # a copy without its repository
        skipped = {".venv", "build", ".git", "__pycache__"}
        paths = [p for p in root.rglob("*") if not skipped & set(p.relative_to(root).parts)]
    return sorted(p for p in paths if p.is_file())


def blank_comments(text: str) -> str:
    """C text with comments, strings and preprocessor lines emptied; lines stay where they are."""
    pattern = re.compile(
        r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
        r"|^[ \t]*#(?:[^\n\\]|\\.|\\\n)*",
        re.DOTALL | re.MULTILINE,
    )
    return pattern.sub(lambda found: "\n" * found.group().count("\n"), text)


def functions(text: str) -> Iterator[tuple[int, int]]:
    """First line and length of each function body: a brace in column 0 up to its partner."""
    start = 0
    for number, line in enumerate(blank_comments(text).splitlines(), 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start:
            yield start, number - start + 1
            start = 0


def check_includes(path: Path, text: str) -> Iterator[str]:
    folder = path.parent.name
    names = [found.group(1) for found in INCLUDE.finditer(text)]
    own = [name.strip('<">') for name in names]
    if folder in ("sip", "include", "proxy") and "Python.h" in own:
        yield "includes Python.h"
    if folder in ("sip", "script", "engine"):
        yield from (f"includes {name}" for name in names if SOCKET_HEADERS.match(name))
        if any(name.startswith(("ext/", "proxy/")) for name in own):
            yield "includes a host's header"
    if folder == "sip" and any(
        name.startswith(("script/", "engine/", "isoexec.h")) for name in own
    ):
        yield "includes what stands below it"
    if folder == "script" and any(name.startswith("engine/") for name in own):
        yield "includes what stands below it"
    if folder in ("ext", "proxy", "ext_proxy"):
        public = {'"isoexec.h"'} | ({'"proxy/isoproxy.h"'} if folder == "ext_proxy" else set())
        for name in names:
            foreign = "/" in name or not (path.parent / name.strip('"')).exists()
            if name.startswith('"') and name not in public and foreign:
                yield f"includes {name}: it may know {' '.join(sorted(public))} and its folder"


def check_sizes(path: Path, text: str) -> Iterator[str]:
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield f"has {lines} lines, {FILE_LINES} are the limit"
    if path.suffix in (".c", ".h"):
        for start, length in functions(text):
            if length > FUNCTION_LINES:
                yield f"line {start}: a function of {length} lines, {FUNCTION_LINES} are the limit"


def check_words(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if MARKERS.search(line):
            yield f"line {number}: unfinished: {line.strip()}"
        found = MACHINE_PATHS.search(line)
        # The folder that ISOEXEC_CORPUS defaults to may be named where that default stands.
        if found and "ISOEXEC_CORPUS" not in line:
            yield f"line {number}: a path of one machine: {found.group()}"


def check_headers(root: Path) -> Iterator[str]:
    declared: set[str] = set()
    for header in sorted((root / "native/include").iterdir()):
        text = header.read_text()
        lines = text.splitlines()
        for number, line in enumerate(lines):
            if line.startswith("ISO_API ") and not documented(lines, number):
                yield f"{header.name} line {number + 1}: no comment: {line}"
        if len(lines) > HEADER_LINES:
            yield f"{header.name} has {len(lines)} lines, {HEADER_LINES} are the limit"
        declared.update(API.findall(text))
    page = (root / "docs/c-api.md").read_text()
    named = set(re.findall(r"`(iso_\w+)\(\)`", page))
    yield from (f"docs/c-api.md does not name {name}()" for name in sorted(declared - named))
    yield from (
        f"docs/c-api.md names {name}(), the header does not" for name in sorted(named - declared)
    )


def documented(lines: list[str], number: int) -> bool:
    """A comment above, on the line itself, or above the group of functions it stands in."""
    if "/*" in lines[number]:
        return True
    while number > 0 and lines[number - 1].startswith(("ISO_API ", "struct ", " ", "\t")):
        number -= 1
        if lines[number].rstrip().endswith("*/"):
            return True
    return lines[number - 1].rstrip().endswith("*/")


def check_version(root: Path) -> Iterator[str]:
    header = (root / "native/include/isoexec.h").read_text()
    parts = re.findall(r"#define ISO_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)
    build = re.search(r"version: '([\d.]+)'", (root / "meson.build").read_text())
    if build is None or ".".join(parts) != build.group(1):
        yield f"meson.build says version {build and build.group(1)}, isoexec.h {'.'.join(parts)}"


def check_build_lists(root: Path, files: list[Path]) -> Iterator[str]:
    lists = (root / "meson.build").read_text() + (root / "native/meson.build").read_text()
    for path in files:
        name = path.relative_to(root).as_posix()
        if name.startswith("isoexec/"):
            listed = f"'{name}'" in lists
        elif re.match(r"native/(sip|script|engine|ext|proxy|ext_proxy)/\w+\.c$", name):
            listed = f"'{name.removeprefix('native/')}'" in lists
        elif re.match(r"native/(tests|fuzz)/\w+\.c$", name):
            stem = path.stem.removeprefix("test_").removeprefix("fuzz_")
            forms = (stem, f"tests/{path.name}", f"fuzz/{path.name}")
            listed = any(f"'{form}'" in lists for form in forms)
        else:
            continue
        if not listed:
            yield f"{name} is in no file list of meson.build"


def breaches(root: Path) -> Iterator[str]:
    files = project_files(root)
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.suffix not in TEXT_SUFFIXES or name.startswith("tests/corpus/"):
            continue
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        found: list[str] = [*check_words(text)]
        if path.suffix in (".c", ".h", ".py"):
            found += check_sizes(path, text)
        if path.suffix in (".c", ".h") and name.startswith("native/"):
            found += check_includes(path, text)
        yield from (f"{name}: {breach}" for breach in found)
    yield from check_headers(root)
    yield from check_version(root)
    yield from check_build_lists(root, files)


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve()
    found = list(breaches(root))
    for breach in found:
        print(breach)
    print(
        f"check_house: {len(found)} breach(es)" if found else "check_house: the house is in order"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
