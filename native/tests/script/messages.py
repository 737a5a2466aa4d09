"""The messages of the checks, and how an error is looked at."""

INVITE = (
    b"INVITE sip:bob@example.org SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1, SIP/2.0/UDP 192.0.2.11\r\n"
    b'f: "Ann, A" <sip:ann@example.com>;tag=1\r\n'
    b"Subject: a, b\r\n"
    b"Supported: replaces, 100rel\r\n"
    b"Empty:\r\n"
    b"Supported: timer\r\n"
    b"X-Fold: one\r\n\ttwo\r\n"
    b"X-Octets: \xff\xe4\r\n"
    b"Content-Length: 4\r\n\r\nbody"
)
REPLY = b"SIP/2.0 486 Busy Here\r\nTo: <sip:b@example.org>\r\nContent-Length: 0\r\n\r\n"
OTHER = b"INVITE sip:mallory@example.net SIP/2.0\r\nFrom: <sip:m@example.net>\r\n\r\n"


def raises(kind, text, call, *args, **keywords):
    try:
        call(*args, **keywords)
    except kind as error:
        assert text in str(error), str(error)
        return str(error)
    raise AssertionError(f"{call} did not raise {kind}")
