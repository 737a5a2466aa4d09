"""Handlers of the corpus, written for OpenSIPS, route calls of sipp: not a character is changed."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from support import dns
from support.corpus import CARRIED
from support.proxies import Proxy, running
from support.sipp import Agent, Way, answering

CALLS = 20
UDP, TCP = Way("udp", 4), Way("tcp", 4)
HANDLERS = CARRIED / "handlers"
PROGRAMS = ["serve", "isoproxy"]


class Calls(NamedTuple):
    """Calls of one user."""

    caller: Agent
    callee: Agent

    def run(self) -> None:
        faults = [fault for agent in self if (fault := agent.result())]
        assert not faults, "\n".join(faults)

    def invites(self) -> list[bytes]:
        return [raw for raw in self.callee.received() if raw.startswith(b"INVITE ")]


@contextlib.contextmanager
def called(user: str, way: Way, folder: Path) -> Iterator[Agent]:
    """A callee. Its Contact has this user: so do the R-URIs of what follows in the call."""
    with answering(["uas_call"], way, folder, CALLS, "-s", user) as [callee]:
        yield callee


def calls(proxy: Proxy, folder: Path, callee: Agent, user: str, *options: str) -> Calls:
    host, port = proxy.addresses["udp", 4]
    words = ["-r", "20", "-s", user, "-key", "target", "none", "-key", "second", "none", *options]
    if "-rsa" not in options:
        words.append(f"{host}:{port}")
    made = Calls(Agent("uac_call", UDP, folder, CALLS, *words), callee)
    made.run()
    assert len(made.invites()) >= 2 * CALLS  # each call has a second one
    return made


@pytest.mark.parametrize("program", PROGRAMS)
def test_least_cost_routing(program: str, tmp_path: Path) -> None:
    """R-URI and dst-URI name a carrier that DNS knows; the table is the corpus' own."""
    number, handler = "+442079460123", HANDLERS / "h01_lcr_prefix.py"
    with dns.serving() as server, called(number, UDP, tmp_path) as callee:
        server.add("_sip._udp.delta.example.net", dns.srv(1, 1, callee.port, "sbc.example.net"))
        server.add("sbc.example.net", dns.a("127.0.0.1"))
        options = ["-w", "2", "--request-route", "pick", "--nameserver", server.address]
        with running(program, *options, handler=handler) as proxy:
            made = calls(proxy, tmp_path, callee, number)
    for invite in made.invites():
        assert invite.startswith(f"INVITE sip:{number}@delta.example.net;user=phone ".encode())
        assert b"\r\nX-Carrier: delta;rate=7\r\n" in invite


@pytest.mark.parametrize("program", PROGRAMS)
def test_number_database(program: str, tmp_path: Path) -> None:
    """SQLite says where a number is reached: by TCP, while the caller talks UDP."""
    with dns.serving() as server, called("02079460123", TCP, tmp_path) as callee:
        server.add("_sip._tcp.uk.example.net", dns.srv(1, 1, callee.port, "sbc.example.net"))
        server.add("sbc.example.net", dns.a("127.0.0.1"))
        options = ["-w", "2", "--request-route", "lookup", "--nameserver", server.address]
        with running(program, *options, handler=HANDLERS / "h03_number_db.py") as proxy:
            made = calls(proxy, tmp_path, callee, "442079460123")
    for invite in made.invites():
        assert invite.startswith(b"INVITE sip:02079460123@")


@pytest.mark.parametrize("program", PROGRAMS)
def test_accounting(program: str, tmp_path: Path) -> None:
    """One method sees requests and replies; the calls go where their R-URI says."""
    options = ["-w", "2", "--request-route", "note", "--onreply-route", "note"]
    options += ["--environment", f"ACC_DIR={tmp_path}"]
    with called("bob", UDP, tmp_path) as callee:
        with running(program, *options, handler=HANDLERS / "h07_accounting.py") as proxy:
            host, port = proxy.addresses["udp", 4]
            there = f"127.0.0.1:{callee.port}"
            made = calls(proxy, tmp_path, callee, "bob", "-rsa", f"{host}:{port}", there)
    lines = [
        json.loads(line)
        for path in tmp_path.glob("acc-*.jsonl")
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert {line["event"] for line in lines} == {"start", "stop"}
    stopped = [line for line in lines if line["event"] == "stop"]
    assert len(stopped) == CALLS
    assert {line["call"] for line in stopped} == {line["call"] for line in lines}
    assert {tuple(line["source"]) for line in stopped} == {("127.0.0.1", made.caller.port)}
    assert all(line["seconds"] > 0 for line in stopped)


@pytest.mark.parametrize("program", PROGRAMS)
def test_table_of_a_thread(program: str, tmp_path: Path) -> None:
    """A thread of each rank reads the table. Nothing ends it: the log and the exit code say so."""
    table = tmp_path / "table.json"
    options = ["-w", "2", "--grace", "200ms", "--environment", f"REFRESH_FILE={table}"]
    with called("bob", UDP, tmp_path) as callee:
        table.write_text(json.dumps({"alias": callee.uri, "bob": callee.uri}), encoding="utf-8")
        proxy = Proxy(program, *options, handler=HANDLERS / "h09_refresh_thread.py")
        try:
            made = calls(proxy, tmp_path, callee, "alias")
        finally:
            code, err = proxy.stop()
    for invite in made.invites():
        assert invite.startswith(f"INVITE {callee.uri} ".encode())
    assert code == 1, err
    assert "['refresh-1']" in err
    assert "['refresh-2']" in err
