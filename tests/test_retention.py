"""Messages that a script keeps: they answer their own data for ever, and can not be edited."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.host import Host
from support.messages import OK, request

SCRIPT = """
import threading

class H:
    def child_init(self, rank):
        self.all, self.threads = [], []
        return 0

    def keep(self, msg):
        self.kept, self.copied, self.reader = msg, msg.copy(), msg.getHeader
        self.all.append(msg)
        return 1

    def keep_view(self, msg):
        self.body, self.raw = msg.body, msg.raw
        return 1

    def check(self, msg, call_id):
        for seen in (self.kept, self.copied):
            if seen.getHeader("Call-ID") != call_id or seen.headers("i") != [call_id]:
                return -1
            if (seen.Type, seen.Method) != ("SIP_REQUEST", "INVITE"):
                return -5
            if seen.RURI != "sip:bob@example.org":
                return -2
            if seen.src_address != ("192.0.2.1", 5060) or call_id.encode() not in seen.raw:
                return -3
        return 1 if self.reader("Call-ID") == call_id else -4

    def all_differ(self, msg):
        seen = [one.getHeader("Call-ID") for one in self.all]
        return len(seen) if seen == ["id-%d@example.net" % n for n in range(len(seen))] else -1

    def edit(self, msg):
        refused = 0
        for work in (
            lambda: self.kept.rewrite_ruri("sip:x@example.net"),
            lambda: self.kept.set_dst_uri("sip:x@example.net"),
            lambda: self.kept.append_header("X", "y"),
            lambda: self.kept.insert_header("X", "y"),
            lambda: self.kept.remove_header("X"),
            lambda: self.kept.replace_header("X", "y"),
            lambda: self.kept.set_body(b"x"),
            lambda: self.kept.call_function("append_hf", "X: y"),
            lambda: self.copied.call_function("append_hf", "X: y"),
        ):
            try:
                work()
            except RuntimeError:
                refused += 1
        return refused

    def edit_copy(self, msg):
        mine = msg.copy()
        mine.rewrite_ruri("sip:copy@example.net")
        mine.append_header("X-Copy", "yes")
        return 1 if mine.new_uri == "sip:copy@example.net" and msg.new_uri is None else -1

    def copy_takes_edits(self, msg):
        msg.rewrite_ruri("sip:first@example.net")
        mine = msg.copy()
        msg.rewrite_ruri("sip:second@example.net")
        return 1 if mine.new_uri == "sip:first@example.net" else -1

    def read_in_thread(self, msg, call_id):
        self.wrong, self.end = 0, False
        def read():
            while not self.end:
                if msg.getHeader("Call-ID") != call_id:
                    self.wrong += 1
        self.threads.append(threading.Thread(target=read))
        self.threads[-1].start()
        return 1

    def stop(self, msg):
        self.end = True
        for thread in self.threads:
            thread.join()
        return self.wrong

    def cycle(self, msg):
        loop = [msg]
        loop.append(loop)
        return 1

    def in_exception(self, msg):
        mine = msg
        raise ValueError("holds a frame that holds the message")

    def status(self, msg):
        return int(self.kept.Status)

def mod_init():
    return H()
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    script = tmp_path / "keeper.py"
    script.write_text(SCRIPT, encoding="utf-8")
    with Host(script) as opened:
        yield opened


SOURCE = {"source": ("192.0.2.1", 5060)}


def numbered(number: int) -> bytes:
    return request(call_id=f"id-{number}@example.net")


def test_a_kept_message_answers_its_own_data(host: Host) -> None:
    assert host.call("keep", numbered(0), **SOURCE).code == 1
    for number in range(1, 1000):
        host.call("cycle", numbered(number))
    assert host.call("check", numbered(1000), extra="id-0@example.net").code == 1


def test_many_kept_messages(host: Host) -> None:
    for number in range(300):
        assert host.call("keep", numbered(number)).code == 1
    assert host.call("all_differ").code == 300


def test_a_kept_message_in_a_batch(host: Host) -> None:
    host.ranks[1].run(lambda rank: rank.batch("keep", [numbered(number) for number in range(50)]))
    assert host.call("all_differ").code == 50


def test_the_octets_are_kept_when_the_host_uses_its_buffer_again(host: Host) -> None:
    buffer = bytearray(numbered(0))
    assert host.call("keep", buffer, **SOURCE).code == 1  # type: ignore[arg-type]
    buffer[:] = b"\xff" * len(buffer)
    assert host.call("check", numbered(1), extra="id-0@example.net").code == 1


def test_a_kept_message_can_not_be_edited(host: Host) -> None:
    host.call("keep")
    result = host.call("edit")
    assert result.code == 9, result.error
    assert result.edits == ()


def test_a_kept_reply(host: Host) -> None:
    host.call("keep", OK)
    assert host.call("status").code == 200


def test_edits_of_a_copy_are_its_own(host: Host) -> None:
    result = host.call("edit_copy")
    assert (result.code, result.edits) == (1, ()), result.error


def test_a_copy_has_the_edits_made_so_far(host: Host) -> None:
    result = host.call("copy_takes_edits")
    assert result.code == 1, result.error
    assert result.new_uri == "sip:second@example.net"


def test_a_thread_reads_while_the_host_goes_on(host: Host) -> None:
    assert host.call("read_in_thread", numbered(0), extra="id-0@example.net").code == 1
    for number in range(1, 2000):
        host.call("cycle", numbered(number))
    assert host.call("stop").code == 0


def test_messages_in_cycles_and_tracebacks(host: Host) -> None:
    for number in range(1000):
        assert host.call("cycle", numbered(number)).code == 1
        assert host.call("in_exception", numbered(number)).outcome == "raised"


def test_messages_kept_until_the_rank_ends(host: Host) -> None:
    """Nothing to assert but a clean end of the rank, in the fixture."""
    for number in range(100):
        host.call("keep", numbered(number))
        host.call("keep_view", numbered(number))
    assert threading.active_count() > 1
