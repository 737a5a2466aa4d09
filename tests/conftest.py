"""What every test run shows: the versions at its start (skips are named at its end, by -ra)."""

import platform
import signal
import sys
from pathlib import Path

import pytest

import isoexec
from faults.rows import LEVELS
from support import corpus, host

# A background job starts with Ctrl-C ignored, and so would the hosts that tests start from it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--level", choices=LEVELS, default="own_gil", help="isolation of the ranks")


def pytest_configure(config: pytest.Config) -> None:
    host.level = config.getoption("--level")


def pytest_report_header() -> list[str]:
    package = Path(isoexec.__file__).parent
    kind = "editable" if package.parent == corpus.CHECKOUT else "wheel"
    torture = corpus.torture_missing() or str(corpus.TORTURE)
    return [
        f"isoexec {isoexec.__version__} ({kind}) in {package}",
        f"python {platform.python_version()} in {sys.prefix}",
        f"torture messages: {torture}",
    ]
