"""udp_trio.py: the server of udp_asyncio.py on trio. Ctrl-C ends it.

python udp_trio.py HANDLER.py [PORT [RANKS]]
"""

import signal

import trio
from redirect import LARGEST, arguments, make_answer, open_socket

from isoexec import AsyncEngine


async def answer_one(
    server: trio.socket.SocketType, engine: AsyncEngine, octets: bytes, sender: tuple[str, int]
) -> None:
    answer = make_answer(await engine.python_exec("route", octets, source=sender))
    if answer is not None:
        await server.sendto(answer, sender)


async def receive(server: trio.socket.SocketType, engine: AsyncEngine) -> None:
    async with trio.open_nursery() as nursery:
        while True:
            octets, sender = await server.recvfrom(LARGEST)
            nursery.start_soon(answer_one, server, engine, octets, sender)


async def main() -> None:
    script, port, ranks = arguments()
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with AsyncEngine(script, ranks=ranks) as engine:
            with trio.socket.from_stdlib_socket(open_socket(port)) as server:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(receive, server, engine)
                    async for _ in signals:
                        nursery.cancel_scope.cancel()
                        break
            print(f"answered {sum(stats.calls for stats in engine.stats())}")


if __name__ == "__main__":
    trio.run(main)
