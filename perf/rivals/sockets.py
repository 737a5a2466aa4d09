"""A Unix socket to a process: the least that an RPC needs."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from perf.rivals.processes import SPAWN
from perf.rivals.rival import Call, Rival
from perf.suite.servers import ANSWER, HEAD, METHODS, serve_socket, take


class UnixSocket(Rival):
    name, what, crosses = "unix_socket", "a Unix stream socket to a process", "process"

    def __init__(self, ranks: int = 1) -> None:
        super().__init__(ranks)
        self._ends: list[socket.socket] = []
        self._processes: list[Any] = []
        for _ in range(ranks):
            near, far = socket.socketpair()
            process = SPAWN.Process(target=serve_socket, args=(far,))
            process.start()
            far.close()
            self._ends.append(near)
            self._processes.append(process)

    @staticmethod
    def _over(end: socket.socket) -> Call:
        def call(method: str, message: bytes) -> int:
            end.sendall(HEAD.pack(METHODS.index(method), len(message)) + message)
            answer: int = ANSWER.unpack(take(end, ANSWER.size))[0]
            return answer

        return call

    def call(self, method: str, message: bytes) -> int:
        return self._over(self._ends[0])(method, message)

    @contextmanager
    def caller(self, number: int) -> Iterator[Call]:
        yield self._over(self._ends[number - 1])

    def pids(self) -> list[int]:
        return [process.pid for process in self._processes]

    def close(self) -> None:
        for end in self._ends:
            end.close()
        for process in self._processes:
            process.join()


RIVALS = [UnixSocket]
