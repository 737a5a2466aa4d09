"""Calls of sipp through the proxy: none fails, nothing comes that sipp does not expect."""

import re
from pathlib import Path

import pytest

from support.corpus import CHECKOUT
from support.proxies import running
from support.sipp import Agent, Way, answering, what_tshark_sees, write_pcap

ANSWER = CHECKOUT / "tests/handlers/proxy_answer.py"
HANDLER = CHECKOUT / "tests/handlers/proxy_sipp.py"
CALLS = 20
WAYS = [Way(protocol, family) for protocol in ("udp", "tcp") for family in (4, 6)]
# What happens, by the user that is called: the caller's scenario and those of the callees.
CASES = {
    "call": ("uac_call", ["uas_call"]),
    "cancel": ("uac_cancel", ["uas_ring"]),
    "failover": ("uac_call", ["uas_busy", "uas_call"]),
    "fork": ("uac_call", ["uas_ring", "uas_call"]),
    "auth": ("uac_auth", ["uas_call"]),
}


def judge(path: Path, messages: list[bytes]) -> None:
    """tshark finds SIP in each message, and nothing to complain about."""
    write_pcap(path, messages)
    seen = what_tshark_sees(path)
    assert len(seen) == len(messages)
    for message, (protocols, method, status, malformed, expert) in zip(messages, seen, strict=True):
        assert "sip" in protocols.split(":"), message
        assert method or status, message
        assert not malformed, message
        assert not re.search(r"\((Warning|Error)/", expert), (expert, message)


def test_the_judges_see_faults(tmp_path: Path) -> None:
    """A caller that gets 404 for a call, and a message that is malformed."""
    way = Way("udp", 4)
    with running("isoproxy", "-w", "1", handler=ANSWER) as proxy:
        host, port = proxy.addresses["udp", 4]
        targets = ["-key", "target", "sip:none.invalid", "-key", "second", "sip:none.invalid"]
        agent = Agent("uac_call", way, tmp_path, 1, *targets, f"{host}:{port}")
        assert "1 failed" in agent.result()
    [answer] = agent.received()
    judge(tmp_path / "good.pcap", [answer])
    for broken in (answer[:-2], answer.replace(b"CSeq:", b"CSeq "), b"no SIP at all"):
        with pytest.raises(AssertionError):
            judge(tmp_path / "bad.pcap", [answer, broken])


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.protocol}{way.family}")
@pytest.mark.parametrize("case", CASES)
def test_calls(tmp_path: Path, case: str, way: Way) -> None:
    caller, callees = CASES[case]
    with (
        running("isoproxy", "-w", "2", handler=HANDLER) as proxy,
        answering(callees, way, tmp_path, CALLS) as agents,
    ):
        targets = [agent.uri for agent in agents] + ["sip:none.invalid"]
        host, port = proxy.addresses[way.protocol, way.family]
        options = [
            "-r",
            "20",
            "-s",
            case,
            "-key",
            "target",
            targets[0],
            "-key",
            "second",
            targets[1],
        ]
        remote = f"[{host}]:{port}" if way.family == 6 else f"{host}:{port}"
        agents.append(Agent(caller, way, tmp_path, CALLS, *options, remote))
        faults = [fault for agent in reversed(agents) if (fault := agent.result())]
        assert not faults, "\n".join(faults)
    messages = [message for agent in agents for message in agent.received()]
    assert len(messages) >= 4 * CALLS
    judge(tmp_path / "sent.pcap", messages)
