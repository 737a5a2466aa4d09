"""Mixed calls for a long time, while handlers and callees go wrong: no call lost, memory flat.

ISOEXEC_SOAK says for how many seconds; 45 without it.
"""

import contextlib
import os
import random
import threading
import time
from pathlib import Path

import pytest

from support.corpus import CHECKOUT
from support.proxies import Message, Peer, Proxy
from support.sipp import LIMIT, Agent, Way, answering

HANDLER = CHECKOUT / "tests/handlers/proxy_soak.py"
SECONDS = int(os.environ.get("ISOEXEC_SOAK", "45"))
RATE = 10  # calls a second of each kind
UDP = Way("udp", 4)
# Transactions are forgotten after 64 * T1, here 19.2 s: within the first half of the shortest run.
# T1 is longer than an answer takes: sipp takes an INVITE that comes again after its 180 and 200 for
# a fault.
OPTIONS = ["-w", "2", "--t1", "300ms", "--t4", "500ms", "--onreply-route", "reply"]
OPTIONS += ["--deadline", "50ms", "--log-level", "-3"]
# Octets that the second half may add. The allocator settles for minutes: 1.3 MiB in that of 45 s,
# 0.5 MiB in that of 180 s.
GROWTH = 2 << 20
CASES = {
    "call": ("uac_call", ["uas_call"]),
    "cancel": ("uac_cancel", ["uas_ring"]),
    "fork": ("uac_call", ["uas_ring", "uas_call"]),
    "auth": ("uac_auth", ["uas_call"]),
    "failover": ("uac_call", ["bad", "uas_call"]),
    "fault": ("uac_fault", []),
}


class BadCallee(threading.Thread):
    """Answers with octets that are no reply, or none of this request, and is busy at last."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peer = Peer()
        self._ends = False

    def run(self) -> None:
        self.peer.socket.settimeout(0.2)
        while not self._ends:
            with contextlib.suppress(TimeoutError):
                there = self.peer.receive()
                if not there.start.startswith("ACK"):
                    self.answer(there)

    def answer(self, there: Message) -> None:
        rows = "".join(f"{name}:{value}\r\n" for name, value in there.rows)
        whole = f"SIP/2.0 180 Ringing\r\n{rows}\r\n".encode()
        other = whole.replace(b"CSeq: 1", b"CSeq: 77").replace(b"branch=z9", b"branch=y8")
        wrong = [whole[: random.randrange(len(whole))], other, b"SIP/2.0 999 \r\n\r\n", b"\0" * 99]
        for raw in random.sample(wrong, 2):
            self.peer.send(raw, there.source)
        self.peer.answer(there, 486, "Busy Here")

    def __enter__(self) -> "BadCallee":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self.join()
        self.peer.socket.close()


def watch(proxy: Proxy, agents: list[Agent]) -> list[int]:
    """Resident memory, once a second, while calls are made."""
    sizes = []
    while any(agent.process.poll() is None for agent in agents):
        assert proxy.process.poll() is None
        sizes.append(proxy.resident())
        time.sleep(1)
    return sizes


@pytest.mark.stress
@pytest.mark.timeout(SECONDS + 120)
def test_no_call_is_lost_and_memory_is_flat(tmp_path: Path) -> None:
    calls = RATE * SECONDS
    more = {"trace": False, "limit": SECONDS + LIMIT}
    proxy = Proxy("isoproxy", *OPTIONS, handler=HANDLER)
    host, port = proxy.addresses["udp", 4]
    agents: list[Agent] = []
    try:
        with contextlib.ExitStack() as stack:
            bad = stack.enter_context(BadCallee())
            for case, (caller, callees) in CASES.items():
                real = [scenario for scenario in callees if scenario != "bad"]
                there = stack.enter_context(answering(real, UDP, tmp_path, calls, **more))
                targets = [bad.peer.uri] * ("bad" in callees) + [agent.uri for agent in there]
                first, second, *_ = [*targets, "sip:none.invalid", "sip:none.invalid"]
                words = ["-r", str(RATE), "-s", case, "-key", "target", first, "-key", "second"]
                caller_agent = Agent(
                    caller, UDP, tmp_path, calls, *words, second, f"{host}:{port}", **more
                )
                stack.callback(caller_agent.stop)
                agents += [*there, caller_agent]
            sizes = watch(proxy, agents)
            faults = [fault for agent in agents if (fault := agent.result())]
    finally:
        code, err = proxy.stop()
    print(f"resident, in KiB: {[size >> 10 for size in sizes]}")
    assert not faults, "\n".join(faults)
    assert code == 0, err
    half = len(sizes) // 2
    assert max(sizes[half:]) <= max(sizes[:half]) + GROWTH
