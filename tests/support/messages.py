"""Messages for tests that need one, and a builder for odd ones."""

CRLF = b"\r\n"


def request(
    *headers: str | bytes,
    method: str = "INVITE",
    ruri: str = "sip:bob@example.org",
    call_id: str = "test@192.0.2.1",
    body: bytes = b"",
) -> bytes:
    """A request with the mandatory headers, then `headers`, then the body with its length."""
    lines: list[str | bytes] = [
        f"{method} {ruri} SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKtest",
        "Max-Forwards: 70",
        "From: Alice <sip:alice@example.com>;tag=a1",
        "To: <sip:bob@example.org>",
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    raw = [
        line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line for line in lines
    ]
    return CRLF.join(raw) + CRLF + CRLF + body


def reply(status: int = 200, reason: str = "OK", *headers: str) -> bytes:
    """A reply to what `request` builds."""
    lines = [
        f"SIP/2.0 {status} {reason}",
        "Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKtest",
        "From: Alice <sip:alice@example.com>;tag=a1",
        "To: <sip:bob@example.org>;tag=b1",
        "Call-ID: test@192.0.2.1",
        "CSeq: 1 INVITE",
        *headers,
        "Content-Length: 0",
    ]
    return CRLF.join(line.encode() for line in lines) + CRLF + CRLF


INVITE = request()
OPTIONS = request(method="OPTIONS")
OK = reply()
