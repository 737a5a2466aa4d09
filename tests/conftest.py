"""What every test run shows: the versions at its start (skips are named at its end, by -ra)."""

import platform
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import isoexec
from faults.rows import LEVELS
from support import corpus, host
from support.site import Site

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


@pytest.fixture
def no_thread_stays() -> Iterator[None]:
    """A script's thread that no test ended would take the GIL from all tests to come, and keep the
    run from ending: on isolation main such a thread is one of this process's interpreter."""
    before = set(threading.enumerate())
    yield
    assert host.wait_until(lambda: set(threading.enumerate()) <= before), threading.enumerate()


@pytest.fixture(params=["queue", "inline", "queue-main", "inline-main"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A Site on both channels and the levels that share this process."""
    channel, _, isolation = request.param.partition("-")
    site = Site(tmp_path, channel, isolation or "own_gil")
    path = sys.path[:]  # on isolation main it is the scripts' too
    yield site
    site.stop()
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in str(getattr(module, "__file__", None)):
            del sys.modules[name]
