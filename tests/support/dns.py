"""A DNS server of a test: a few records, and a count of the questions."""

import collections
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

A, SOA, AAAA, SRV, NAPTR = 1, 6, 28, 33, 35
NXDOMAIN = 3


def name_bytes(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def a(address: str) -> tuple[int, bytes]:
    return A, socket.inet_aton(address)


def aaaa(address: str) -> tuple[int, bytes]:
    return AAAA, socket.inet_pton(socket.AF_INET6, address)


def srv(priority: int, weight: int, port: int, target: str) -> tuple[int, bytes]:
    return SRV, struct.pack("!HHH", priority, weight, port) + name_bytes(target)


def naptr(order: int, preference: int, service: str, target: str) -> tuple[int, bytes]:
    texts = b"".join(bytes([len(text)]) + text.encode() for text in ("s", service, ""))
    return NAPTR, struct.pack("!HH", order, preference) + texts + name_bytes(target)


class Server:
    """Answers what was added; other names do not exist. `muted` names get no answer."""

    def __init__(self) -> None:
        self.records: dict[str, list[tuple[int, int, bytes]]] = collections.defaultdict(list)
        self.asked: collections.Counter[tuple[str, int]] = collections.Counter()
        self.muted: set[str] = set()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        host, port = self.socket.getsockname()
        self.address = f"{host}:{port}"

    def add(self, name: str, *records: tuple[int, bytes], ttl: int = 3600) -> None:
        self.records[name] += [(kind, ttl, data) for kind, data in records]

    def serve(self) -> None:
        while True:
            question, source = self.socket.recvfrom(4096)
            if not question:
                return
            if answer := self.answer(question):
                self.socket.sendto(answer, source)

    def answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while size := question[at]:
            labels.append(question[at + 1 : at + 1 + size].decode())
            at += 1 + size
        name, (kind,) = ".".join(labels).lower(), struct.unpack("!H", question[at + 1 : at + 3])
        self.asked[name, kind] += 1
        if name in self.muted:
            return b""
        found = [
            b"\xc0\x0c" + struct.pack("!HHIH", each, 1, ttl, len(data)) + data
            for each, ttl, data in self.records.get(name, [])
            if each == kind
        ]
        flags = 0x8180 | (0 if name in self.records else NXDOMAIN)
        head = question[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        return head + question[12 : at + 5] + b"".join(found)


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.socket.sendto(b"", server.socket.getsockname())
        thread.join()
        server.socket.close()
