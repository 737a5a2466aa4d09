"""What runs in the processes of rivals. They load nothing of isoexec."""

import socket
import struct
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from perf.suite import work

METHODS = list(work.METHODS)
HEAD = struct.Struct("<BI")  # number of the method, octets of the message
ANSWER = struct.Struct("<q")


def serve_pipe(pipe: Connection) -> None:
    with suppress(EOFError):  # the near end is closed
        while True:
            pipe.send(work.do(*pipe.recv()))


def serve_queue(calls: Any, answers: Any) -> None:
    while (item := calls.get()) is not None:
        answers.put(work.do(*item))


def take(end: socket.socket, count: int) -> bytes:
    data = end.recv(count)
    while 0 < len(data) < count:
        data += end.recv(count - len(data))
    return data


def serve_socket(end: socket.socket) -> None:
    while head := take(end, HEAD.size):
        number, length = HEAD.unpack(head)
        end.sendall(ANSWER.pack(work.do(METHODS[number], take(end, length))))
