"""sender.py PORT COUNT: sends so many requests to a server on loopback and checks every answer.

A window of requests is in flight at any time, small enough that no socket buffer overflows, so an
answer that does not come is a fault. Prints one JSON object.
"""

import hashlib
import json
import re
import select
import socket
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.messages import request

WINDOW = 100
SILENCE = 10.0  # seconds without an answer after which what is in flight counts as lost
ANSWER = re.compile(
    rb"SIP/2\.0 302 .*\r\nCall-ID: (\d+)@sender\r\n.*"
    rb"Contact: <sip:(\w+)@rank(\d+)\.example\.net>\r\nContent-Length: 0\r\n\r\n",
    re.DOTALL,
)


def send_all(server: tuple[str, int], count: int) -> dict[str, object]:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    client.bind(("127.0.0.1", 0))
    client.connect(server)
    client.setblocking(False)
    ranks: Counter[str] = Counter()
    open_calls: set[int] = set()
    sent = wrong = 0
    while sent < count or open_calls:
        while sent < count and len(open_calls) < WINDOW:
            sent += 1
            open_calls.add(sent)
            client.send(request(call_id=f"{sent}@sender"))
        if not select.select([client], [], [], SILENCE)[0]:
            break
        found = ANSWER.fullmatch(client.recv(65535))
        number = int(found[1]) if found else 0
        if found and number in open_calls and found[2] == digest(number):
            open_calls.remove(number)  # a second answer to it is wrong
            ranks[found[3].decode()] += 1
        else:
            wrong += 1
    client.close()
    return {
        "sent": sent,
        "right": sum(ranks.values()),
        "wrong": wrong,
        "lost": len(open_calls),
        "ranks": ranks,
    }


def digest(number: int) -> bytes:
    return hashlib.sha256(f"{number}@sender".encode()).hexdigest().encode()


if __name__ == "__main__":
    print(json.dumps(send_all(("127.0.0.1", int(sys.argv[1])), int(sys.argv[2]))))
