"""udp_asyncio.py: an asyncio SIP redirect server. Ctrl-C ends it.

    python udp_asyncio.py HANDLER.py [PORT [RANKS]]

The loop receives and starts a task for each request; the handler's method `route` runs in a rank,
on another core, while the loop goes on.
"""

import asyncio
import signal
import socket

from redirect import LARGEST, arguments, make_answer, open_socket

from isoexec import AsyncEngine


async def answer_one(
    server: socket.socket, engine: AsyncEngine, octets: bytes, sender: tuple[str, int]
) -> None:
    answer = make_answer(await engine.python_exec("route", octets, source=sender))
    if answer is not None:
        await asyncio.get_running_loop().sock_sendto(server, answer, sender)


async def receive(server: socket.socket, engine: AsyncEngine) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        while True:
            octets, sender = await loop.sock_recvfrom(server, LARGEST)
            tasks.create_task(answer_one(server, engine, octets, sender))


async def main() -> None:
    script, port, ranks = arguments()
    async with AsyncEngine(script, ranks=ranks) as engine:
        with open_socket(port) as server:
            server.setblocking(False)
            receiver = asyncio.create_task(receive(server, engine))
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, receiver.cancel)
            await asyncio.wait([receiver])
            if not receiver.cancelled():
                receiver.result()
        print(f"answered {sum(stats.calls for stats in engine.stats())}")


if __name__ == "__main__":
    asyncio.run(main())
