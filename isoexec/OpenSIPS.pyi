"""Types of the module `OpenSIPS`, which a handler script finds in every rank.

A handler script is a Python file whose `mod_init()` returns an object. The host calls methods of
that object as `method(msg)` or `method(msg, extra)`, with `msg` a `SIPRequest` or a `SIPReply`. The
method returns an int: above 0 is true, 0 ends the routing script, below 0 is false.

Text is `str` with the error handler "surrogateescape", both ways: octets that are not UTF-8 arrive
as lone surrogates and leave as the same octets; `text.encode("utf-8", "surrogateescape")` gives
them back.
"""

from collections.abc import Buffer
from typing import Literal, Self, final

__all__ = [
    "DeadlineExceeded",
    "LM_ALERT",
    "LM_CRIT",
    "LM_DBG",
    "LM_ERR",
    "LM_INFO",
    "LM_NOTICE",
    "LM_WARN",
    "SIPMsg",
    "SIPReply",
    "SIPRequest",
]

# One line of the host's log at that level: exactly this text, no "%" is interpreted. ValueError for
# a NUL, TypeError for anything but str. Outside a rank it goes to sys.stderr as "LEVEL text".
def LM_ALERT(text: str, /) -> None: ...
def LM_CRIT(text: str, /) -> None: ...
def LM_ERR(text: str, /) -> None: ...
def LM_WARN(text: str, /) -> None: ...
def LM_NOTICE(text: str, /) -> None: ...
def LM_INFO(text: str, /) -> None: ...
def LM_DBG(text: str, /) -> None: ...

class DeadlineExceeded(BaseException):
    """The call takes longer than its deadline (setting `deadline`): raised in the middle of it.

    Catch it only to clean up, and let it go on: it is raised again. `except Exception` does not see
    it. The call ends with the outcome "deadline" and without its edits.
    """

class SIPMsg:
    """A SIP message. Every object is a `SIPRequest` or a `SIPReply`.

    Reading. The octets are the host's for the time of the call. A method may keep its message: it
    then gets its own copy of them, answers reads for ever, and refuses edits and `call_function`
    with RuntimeError, because the message has left. `copy()` gives a message that stays editable.

    Reads show the message as received, not the edits. A read raises RuntimeError if a header row
    can not be read, or if there was no memory to keep the message.

    Edits are recorded, and applied by the host when the method returned an int. Each raises
    ValueError for text that would break the message (line ends, NUL; spaces in a request URI;
    header names that are no tokens), and then records nothing. Edits of a method that raised are
    dropped.
    """

    def __new__(
        cls,
        octets: Buffer,
        /,
        *,
        source: tuple[str, int] | None = None,
        destination: tuple[str, int] | None = None,
        route: Literal["request", "onreply", "failure", "branch"] | None = None,
    ) -> Self:
        """A message of the script's own, for tests: it owns a copy of the octets and its edits.

        The object is a `SIPRequest` or a `SIPReply`, as the octets say. `route` None means
        "request" for a request and "onreply" for a reply. ValueError if the octets are no SIP
        message. Only the functions that the engine provides can be called with it.
        """

    @property
    def Type(self) -> Literal["SIP_REQUEST", "SIP_REPLY"]:
        """What kind of message it is."""

    @property
    def Method(self) -> str:
        """The method, case kept. RuntimeError on a reply."""

    @property
    def RURI(self) -> str:
        """The request URI as received, whatever `rewrite_ruri` set. RuntimeError on a reply."""

    @property
    def Status(self) -> str:
        """The status code as text, "200". RuntimeError on a request."""

    @property
    def Reason(self) -> str:
        """The reason phrase, "OK"; may be empty. RuntimeError on a request."""

    @property
    def src_address(self) -> tuple[str, int]:
        """IP address and port that the message came from.

        IPv6 as OpenSIPS writes it: eight groups, upper case, no "::", no brackets. ("", 0) if it
        is not known.
        """

    @property
    def dst_address(self) -> tuple[str, int]:
        """IP address and port of the host that received the message."""

    @property
    def route(self) -> Literal["request", "onreply", "failure", "branch", "unknown"]:
        """From which kind of route the host called."""

    @property
    def raw(self) -> bytes:
        """The octets of the whole message, as received."""

    @property
    def body(self) -> bytes | None:
        """As many octets as Content-Length says, all there are without one, None if it is wrong."""

    @property
    def new_uri(self) -> str | None:
        """The request URI that `rewrite_ruri` set, None if it is the original."""

    @property
    def dst_uri(self) -> str | None:
        """The destination that `set_dst_uri` set, or None."""

    @property
    def edits(self) -> tuple[tuple[str, str | None, str | bytes | None], ...]:
        """What was changed so far, in order: (kind, name, value).

        Kinds: "set_ruri", "set_dst_uri", "append_header", "insert_header", "remove_header",
        "replace_header", "set_body". The value of "set_body" is bytes, its name the Content-Type.
        """

    def getHeader(self, name: str, /) -> str | None:
        """The value of the first row of this name: trimmed, folds as one space.

        Any case; compact and long names are the same ("From" finds "f"). None if there is no such
        row, "" if it is empty.
        """

    def headers(self, name: str, /) -> list[str]:
        """Every value of this name, in order.

        Headers that are lists (Via, Route, Contact, Supported, ...) are split at commas outside
        quotes and <>. [] if there is none.
        """

    def header_rows(self, name: str, /) -> list[str]:
        """The value of every row of this name, not split."""

    def header_names(self) -> list[str]:
        """The name of every row in order, as received."""

    def copy(self) -> Self:
        """A message that owns its data and its edits; it starts with the original's edits so far.

        As long as the call of the original runs, `call_function` of the copy works, and acts on the
        original.
        """

    def rewrite_ruri(self, uri: str, /) -> None:
        """Sets the request URI; "" goes back to the original. RuntimeError on a reply."""

    def set_dst_uri(self, uri: str, /) -> None:
        """Sets where the host sends the message; "" undoes it. RuntimeError on a reply."""

    def append_header(self, name: str, value: str, /) -> None:
        """A new row after the last one."""

    def insert_header(self, name: str, value: str, /) -> None:
        """A new row before the first one."""

    def replace_header(self, name: str, value: str, /) -> None:
        """The first row of this name gets the value, the others go. A new row if there is none."""

    def remove_header(self, name: str, /) -> None:
        """Removes every row of this name."""

    def set_body(self, body: str | Buffer, /, content_type: str | None = None) -> None:
        """Sets the body; Content-Length follows. None leaves the Content-Type as it is."""

    def call_function(self, name: str, /, *args: str | int | None) -> int:
        """Calls a function of the host and returns its int; None leaves an optional parameter out.

        RuntimeError: no such function (with the names that are like it), too few or too many
        arguments, or the function failed. TypeError: an argument of another type, with its place.

        The engine provides these where the host has none of the name: append_hf(text[, after]) and
        insert_hf(text[, before]) take one or more lines "Name: value\\r\\n" and return 1;
        remove_hf(name) and is_present_hf(name) return 1, or -1 if there is no such header, with
        the edits so far.
        """

    def get_pseudoVar(self, format: str, /) -> str | None:
        """The text with the host's pseudo-variables in it: ``"$fu -> $ru"``; None: there is none.

        The host makes it with its function ``get_pseudoVar``. RuntimeError: the host has none.
        """

    def set_pseudoVar(self, name: str, value: str, /) -> None:
        """Sets a pseudo-variable with the host's function ``set_pseudoVar``.

        RuntimeError: the host has none, or there is no such variable, or it can not be set.
        """

@final
class SIPRequest(SIPMsg):
    """A request: has `Method` and `RURI`. ValueError when made from a reply."""

@final
class SIPReply(SIPMsg):
    """A reply: has `Status` and `Reason`. ValueError when made from a request."""
