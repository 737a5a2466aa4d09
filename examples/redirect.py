"""What the servers udp_*.py share: the socket they receive on, and the answer they send."""

import socket
import sys

from isoexec import Result, SIPMsg

COPIED = ("Via", "From", "To", "Call-ID", "CSeq")  # RFC 3261 8.2.6
LARGEST = 65535


def open_socket(port: int) -> socket.socket:
    """A bound UDP socket; its address goes to standard output, for whoever started the server."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    server.bind(("127.0.0.1", port))
    print("listening on {}:{}".format(*server.getsockname()), flush=True)
    return server


def arguments() -> tuple[str, int, int]:
    """HANDLER.py [PORT [RANKS]] of the command line; port 0 takes a free one."""
    if len(sys.argv) < 2:
        raise SystemExit(f"usage: {sys.argv[0]} HANDLER.py [PORT [RANKS]]")
    script, *numbers = sys.argv[1:]
    port, ranks = (*map(int, numbers), *(0, 4)[len(numbers) :])
    return script, port, ranks


def make_answer(result: Result) -> bytes | None:
    """302 to the URI that the method set, 500 if it failed, none if it returned 0 or set no URI."""
    if result.code == 0 or result.outcome == "malformed":
        return None
    request = SIPMsg(result.message)
    lines = ["SIP/2.0 302 Moved Temporarily" if result.code > 0 else "SIP/2.0 500 Server Error"]
    lines += [f"{name}: {value}" for name in COPIED for value in request.header_rows(name)]
    if result.code > 0:
        lines.append(f"Contact: <{result.new_uri or request.RURI}>")
    lines += ["Content-Length: 0", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")
