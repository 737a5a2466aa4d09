"""A proxy whose handler runs what messages say (handlers/proxy_program.py), and peers of it."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from support.corpus import CHECKOUT
from support.proxies import Message, Peer, Proxy, running

HANDLER = CHECKOUT / "tests/handlers/proxy_program.py"

type Step = list[Any]


class Programs:
    """A caller at such a proxy, which has one worker, so that results are kept in one place."""

    def __init__(self, proxy: Proxy, caller: Peer, callee: Peer) -> None:
        self.proxy, self.caller, self.callee = proxy, caller, callee
        self._sent = 0

    def send(self, method: str, request: list[Step], *rows: str, **more: Any) -> None:
        """Sends a request; `request` are the steps of its request route."""
        uri = more.pop("uri", f"sip:bob@{self.callee.sent_by}")
        self._sent += 1
        self.call_id = f"program-{self._sent}-{id(self)}"
        row = f"X-Request: {json.dumps(request)}"
        self.caller.send(
            self.caller.request(method, row, *rows, uri=uri, call_id=self.call_id, **more)
        )

    def results(self) -> list[list[Any]]:
        """Of the routes that ran for the last request: the name and what each step gave."""
        ask = self.caller.request("OPTIONS", f"X-Ask: {self.call_id}", uri=self.caller.uri)
        self.caller.send(ask)
        found: list[list[Any]] = json.loads(self.caller.receive().body)
        return found

    def of(self, route: str) -> list[list[Any]]:
        """The results of one of the routes, each time that it ran."""
        return [row[1:] for row in self.results() if row[0] == route]

    def acknowledge(self, reply: Message) -> None:
        """ACK of a final reply that is no 2xx, for the last request."""
        tag = reply["To"].partition(">")[2]
        branch = self.caller.branch
        raw = self.caller.request("ACK", branch=branch, call_id=self.call_id, to_tag=tag)
        self.caller.send(raw)

    def run(self, *steps: Step, method: str = "MESSAGE", rows: tuple[str, ...] = ()) -> list[Any]:
        """Runs steps in a request route that then drops the request, and gives what they gave."""
        self.send(method, [*steps, ["drop"]], *rows)
        ((_, *found, dropped),) = self.results()
        assert dropped == 1
        return found

    def relayed(self, *steps: Step, method: str = "MESSAGE", rows: tuple[str, ...] = ()) -> Message:
        """Runs steps and gives the request that arrives, which is answered with 200."""
        self.send(method, list(steps), *rows)
        there = self.callee.receive()
        self.callee.answer(there, 200)
        while (reply := self.caller.receive()).code < 200:
            pass
        assert reply.code == 200, reply
        return there


@contextlib.contextmanager
def programs(program: str, *options: str) -> Iterator[Programs]:
    large = ("--udp-limit", "0")  # results come by UDP, however many they are
    routes = ("--branch-route", "branch", "--failure-route", "failure", "--onreply-route", "reply")
    with (
        running(program, "-w", "1", *large, *routes, *options, handler=HANDLER) as proxy,
        Peer(to=proxy.addresses["udp", 4]) as caller,
        Peer() as callee,
    ):
        yield Programs(proxy, caller, callee)
