"""udp_threads.py: a multi-threaded SIP redirect server. Ctrl-C ends it.

    python udp_threads.py HANDLER.py [PORT [RANKS]]

Every thread receives, asks the method `route` of the handler, and answers. The threads know nothing
of ranks: the engine gives each call to a rank that is idle.
"""

import signal
import socket
import threading

from redirect import LARGEST, arguments, make_answer, open_socket

from isoexec import Engine

TICK = 0.2  # seconds after which a thread that receives nothing looks whether the server ends


def serve(server: socket.socket, engine: Engine, end: threading.Event) -> None:
    while not end.is_set():
        try:
            octets, sender = server.recvfrom(LARGEST)
        except TimeoutError:
            continue
        result = engine.python_exec("route", octets, source=sender)
        answer = make_answer(result)
        if answer is not None:
            server.sendto(answer, sender)


def main() -> None:
    script, port, ranks = arguments()
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    with Engine(script, ranks=ranks) as engine, open_socket(port) as server:
        server.settimeout(TICK)
        threads = [
            threading.Thread(target=serve, args=(server, engine, end)) for _ in range(2 * ranks)
        ]
        for thread in threads:
            thread.start()
        end.wait()
        for thread in threads:
            thread.join()
        print(f"answered {sum(stats.calls for stats in engine.stats())}")


if __name__ == "__main__":
    main()
