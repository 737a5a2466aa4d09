"""Scripts that several tests run, and how often the long ones run."""

import os
from collections.abc import Callable
from typing import Any

import pytest

# Imports widely, at load, so that ranks that start together import together.
STDLIB = """
import asyncio, datetime, decimal, hashlib, json, logging, re, sqlite3, ssl, uuid, zoneinfo
import urllib.request

class H:
    def child_init(self, rank):
        self.db = sqlite3.connect(":memory:")
        self.context = ssl.create_default_context()
        return 0

    def go(self, msg):
        digest = hashlib.md5(msg.raw, usedforsecurity=False).hexdigest()
        text = json.dumps({"method": msg.Method, "digest": digest})
        return 1 if re.search("OPTIONS", text) else -1

    def once(self, msg):
        async def wait():
            await asyncio.sleep(0)
            return decimal.Decimal("1.10") + 1
        when = datetime.datetime.now(zoneinfo.ZoneInfo("UTC")).isoformat() + str(uuid.uuid4())
        logging.getLogger("once").info("%s", when)
        urllib.request.Request("http://192.0.2.1/")
        (one,) = self.db.execute("select 1").fetchone()
        return one if asyncio.run(wait()) == decimal.Decimal("2.10") else -1

def mod_init():
    return H()
"""


def runs(default: int) -> int:
    """How often a long test runs: ISOEXEC_RUNS, or this."""
    return int(os.environ.get("ISOEXEC_RUNS", default))


def ending_tests(function: Callable[..., Any]) -> Callable[..., Any]:
    """Runs a test of a process' end twice with few calls, and as a stress test with 100,000."""
    quick = [pytest.param(2_000, id=f"run-{number}") for number in range(1, 3)]
    long = [
        pytest.param(100_000, id=f"long-{number}", marks=pytest.mark.stress)
        for number in range(1, runs(3) + 1)
    ]
    return pytest.mark.parametrize("calls", quick + long)(function)
