"""A Unix socket to a process: the least that an RPC needs."""

import socket
from typing import Any

from perf.rivals.processes import OneEnd
from perf.suite.servers import ANSWER, HEAD, METHODS, serve_socket, take


class UnixSocket(OneEnd):
    name, what = "unix_socket", "a Unix stream socket to a process"
    serve = serve_socket

    @staticmethod
    def connect() -> tuple[Any, Any]:
        return socket.socketpair()

    @staticmethod
    def over(end: Any, method: str, message: bytes) -> int:
        end.sendall(HEAD.pack(METHODS.index(method), len(message)) + message)
        answer: int = ANSWER.unpack(take(end, ANSWER.size))[0]
        return answer


RIVALS = [UnixSocket]
