"""How a check gives a message to a method."""

import probe
from messages import INVITE


def call(do, octets=INVITE, **keywords):
    """Runs do(msg) as a method, over each kind of index, and gives its result."""
    first = probe.drive(do, octets, False)
    assert probe.drive(do, octets, True) == first
    return first
