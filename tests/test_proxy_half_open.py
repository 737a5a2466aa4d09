"""Calls that nobody answers: what they cost, who is served meanwhile, and what is left of them."""

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from support.proxies import LIMIT, Peer, Proxy

KIB = 1024
AGAIN = 0.5  # seconds until a request that has no answer is sent again: the kernel drops some
BRANCH = re.compile(r";branch=([^;]+)")


class Caller(Peer):
    """Sends requests, a few at a time, until the proxy itself has said something of each."""

    def invite(self, count: int, target: str, body: str = "", at_once: int = 64) -> Counter[int]:
        """The codes of the first reply to each: 100 if it was taken."""
        codes: Counter[int] = Counter()
        for first in range(0, count, at_once):
            waiting = {}
            for _ in range(min(at_once, count - first)):
                raw = self.request("INVITE", f"X-Target: {target}", body=body)
                waiting[self.branch] = raw
                self.send(raw)
            codes.update(self.first_replies(waiting))
        return codes

    def first_replies(self, waiting: dict[str, bytes]) -> Iterator[int]:
        self.socket.settimeout(AGAIN)
        end = time.monotonic() + LIMIT
        while waiting:
            try:
                self.reply = self.receive()
            except TimeoutError:
                assert time.monotonic() < end, "the proxy is silent"
                for raw in waiting.values():
                    self.send(raw)
                continue
            found = BRANCH.search(self.reply["Via"])
            if found and waiting.pop(found[1], None):
                yield self.reply.code


@contextlib.contextmanager
def proxy_with(*options: str) -> Iterator[Proxy]:
    proxy = Proxy("isoproxy", "-w", "1", "--log-level", "-3", *options)
    try:
        yield proxy
    finally:
        code, err = proxy.stop()
    assert code == 0, err


def serves(proxy: Proxy) -> bool:
    with Caller(to=proxy.addresses["udp", 4]) as other:
        raw = other.request("OPTIONS", "X-Mode: reply")
        other.send(raw)
        return list(other.first_replies({other.branch: raw})) == [404]


def wait_for_the_end(proxy: Proxy, seconds: float) -> None:
    end = time.monotonic() + seconds + LIMIT
    while proxy.counters()["transactions_open"] > 0:
        assert time.monotonic() < end, proxy.counters()
        assert serves(proxy)
        time.sleep(0.1)


def check(count: int, t1_ms: int) -> None:
    """As many as the proxy takes: 64 T1 until nobody has answered, as long until nobody has ACKed.

    A transaction of these 280 octets takes 2.3 KiB, 2.6 with its final reply: the request twice,
    what was read in it, three timers, and the reply.
    """
    options = ["--t1", f"{t1_ms}ms", "--transactions", str(count)]
    with proxy_with(*options) as proxy, Peer() as silent:
        address = proxy.addresses["udp", 4]
        with Caller(to=address) as caller:
            before = proxy.resident()
            assert caller.invite(count, silent.uri) == {100: count}
            assert proxy.counters()["transactions_open"] == count
            full = proxy.resident()
            assert full - before < 3 * KIB * count
            assert serves(proxy)
        with Caller(to=address) as late:
            assert late.invite(1000, silent.uri) == {503: 1000}
            assert int(late.reply["Retry-After"]) > 0
            assert proxy.resident() - full < KIB * count  # what others have got, but nothing new
            assert serves(proxy)
        wait_for_the_end(proxy, 2 * 64 * t1_ms / 1000)
        print(f"{(full - before) / count / KIB:.2f} KiB each")
        assert proxy.resident() - before < (full - before) // 4  # it goes back to the system
        with Caller(to=address) as again:
            assert again.invite(1, silent.uri) == {100: 1}


def test_half_open() -> None:
    check(8000, 60)


@pytest.mark.stress
@pytest.mark.timeout(300)
def test_many_half_open() -> None:
    check(100_000, 500)


def test_long_requests() -> None:
    """What is kept of them is bounded by their octets, not by their number alone."""
    table = 1000  # 8 KiB for each
    with proxy_with("--transactions", str(table), "--udp-limit", "0") as proxy:
        with Peer() as silent, Caller(to=proxy.addresses["udp", 4]) as caller:
            before = proxy.resident()
            codes = caller.invite(300, silent.uri, body="x" * 50_000, at_once=2)
            assert set(codes) == {100, 503}
            assert int(caller.reply["Retry-After"]) > 0
            assert proxy.resident() - before < 2 * 8 * KIB * table
            assert serves(proxy)


def test_long_replies() -> None:
    """The same for what callees make the proxy keep: their calls go on, new ones have to wait."""
    table, count, row = 1000, 300, "X-Long: " + "x" * 50_000
    with proxy_with("--transactions", str(table), "--t1", "5s") as proxy:
        with Peer() as callee, Caller(to=proxy.addresses["udp", 4]) as caller:
            before = proxy.resident()
            assert caller.invite(count, callee.uri) == {100: count}
            calls = [callee.receive() for _ in range(count)]
            for code in (183, 200):
                for call in calls:
                    callee.answer(call, code, "Long", row)
                    reply = caller.receive()
                    assert (reply.code, reply["Call-ID"]) == (code, call["Call-ID"])
                assert proxy.resident() - before < 2 * 8 * KIB * table
                assert caller.invite(1, callee.uri) == {503: 1}
            assert serves(proxy)
