"""docs/proxy.md says what the proxy has: options, defaults, log lines, counters, a TOML file."""

import re
import socket
from pathlib import Path

import click
import pytest

from isoexec.cli.serve import OWN, serve
from isoexec.settings import table
from support.corpus import CHECKOUT
from support.proxies import HANDLER, Proxy, command
from support.run import run

PAGE = (CHECKOUT / "docs/proxy.md").read_text(encoding="utf-8")
OPTIONS = dict(re.findall(r"^\| `(--[a-z0-9-]+)` \|(.*?)\|", PAGE, re.MULTILINE))
ENGINES = {row.option for row in table().values()}


def own_options() -> set[str]:
    """Those of `isoexec serve` that are not made from the engine's table."""
    names = {
        next(name for name in option.opts if name.startswith("--"))
        for option in serve.params
        if isinstance(option, click.Option)
    }
    return names - ENGINES - {"--help"}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_option_is_there() -> None:
    assert set(OPTIONS) == own_options()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", PAGE))
    assert named <= own_options() | ENGINES | {"--no-notify"}


def test_every_default_is_right() -> None:
    shown = {name: default.strip("` ") for name, default in OPTIONS.items()}
    right = {f"--{row.name.replace('_', '-')}": row.default for row in OWN}
    assert right.items() <= shown.items()


def test_every_log_line_is_there() -> None:
    sources = "".join(
        path.read_text(encoding="utf-8")
        for pattern in ("native/proxy/*.c", "native/engine/*.c", "isoexec/cli/*.py")
        for path in sorted(CHECKOUT.glob(pattern))
    )
    sources = re.sub(r'"\s*\n\s*f?"', "", sources)  # a text in several parts
    lines = re.findall(r"^\| `(.+?)` \|", section("Log lines"), re.MULTILINE)
    assert len(lines) > 10
    for line in lines:
        for part in line.split("..."):
            assert part.strip() in sources, line


def test_every_counter_is_there() -> None:
    proxy = Proxy("isoproxy", "-w", "1")
    try:
        counters = set(proxy.counters())
    finally:
        proxy.stop()
    assert counters == set(re.findall(r"`(\w+)`", section("Counters")))


def test_the_file_is_read(tmp_path: Path) -> None:
    toml = tmp_path / "isoexec.toml"
    toml.write_text(PAGE.partition("```toml\n")[2].partition("```")[0], encoding="utf-8")
    shown = run([*command("serve"), "-c", str(toml), "--print-config", str(HANDLER)]).expect().out
    for word in ("tcp:0.0.0.0:5060", "failure_route", "50ms", "notice"):
        assert word in shown


@pytest.mark.parametrize("program", ["serve", "isoproxy"])
@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears_of_it(tmp_path: Path, program: str, kind: str) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path) if kind == "path" else f"\0{path}")
        manager.settimeout(10)
        name = f"@{path}" if kind == "abstract" else str(path)
        pid_file = tmp_path / "pid"
        options = ["--pid-file", str(pid_file)] if program == "serve" else []
        proxy = Proxy(program, "-w", "1", *options, env={"NOTIFY_SOCKET": name})
        try:
            assert manager.recv(100) == b"READY=1"
            if options:
                assert pid_file.read_text(encoding="ascii") == f"{proxy.process.pid}\n"
        finally:
            code, err = proxy.stop()
        assert manager.recv(100) == b"STOPPING=1"
        assert code == 0, err
        assert not pid_file.exists()
