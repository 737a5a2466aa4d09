"""The exceptions of isoexec: one class for each group of error codes of the C library.

Every one has ``code``, the name of the C code without its prefix (``"ECONFIG"``), and
``traceback``, the text of the Python traceback if a script raised, else ``""``.
"""

__all__ = [
    "ArgumentError",
    "CallCancelledError",
    "CallTimeoutError",
    "ConfigError",
    "EngineClosedError",
    "EngineError",
    "EngineStartError",
    "FunctionError",
    "InternalError",
    "IsoexecError",
    "MessageError",
    "OutOfMemoryError",
    "OverloadError",
    "RankCycleError",
    "RankError",
    "ScriptError",
    "error_from_code",
]


class IsoexecError(Exception):
    """Base of all errors that isoexec raises.

    :param message: one sentence, which says what to do where something can be done.
    :param code: name of the C error code, such as ``"ESTATE"``.
    :param traceback: traceback text of the script, ``""`` if no Python code was at fault.
    """

    default_code = "EINTERNAL"

    def __init__(self, message: str, code: str | None = None, traceback: str = "") -> None:
        super().__init__(message)
        self.code: str = self.default_code if code is None else code
        self.traceback: str = traceback

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}\n{self.traceback.rstrip()}" if self.traceback else message

    def __reduce__(self) -> tuple[type["IsoexecError"], tuple[str, str, str]]:
        return type(self), (str(self.args[0]), self.code, self.traceback)


class ArgumentError(IsoexecError, ValueError):
    """An argument is out of range, such as a rank number above ``ranks``."""

    default_code = "EINVAL"


class ConfigError(IsoexecError, ValueError):
    """A setting is unknown, of the wrong type or out of range. Names every problem at once."""

    default_code = "ECONFIG"


class MessageError(IsoexecError, ValueError):
    """The octets are not a SIP message."""

    default_code = "EPARSE"


class EngineError(IsoexecError):
    """The engine could not do its work."""

    default_code = "ESTATE"


class EngineStartError(EngineError):
    """Python, or an interpreter for a rank, could not be started."""

    default_code = "EINTERP"


class ScriptError(EngineError):
    """The handler script could not be loaded, or its ``mod_init`` or ``child_init`` failed."""

    default_code = "ESCRIPT"


class RankError(IsoexecError):
    """The rank can not be used so: wrong thread, closed, already open, or nested too deeply."""

    default_code = "ESTATE"


class RankCycleError(RankError):
    """The call was not made: its rank waits, through host functions, for the one that calls."""

    default_code = "ECYCLE"


class EngineClosedError(EngineError, RankError):
    """The engine is closed, or was closed before the call ended."""

    default_code = "ESTATE"


class OverloadError(IsoexecError):
    """The queue of the rank is full, and the setting ``on_overload`` says not to wait."""

    default_code = "EOVERLOAD"


class CallTimeoutError(IsoexecError, TimeoutError):
    """The time that the caller gave is over. A call that still waited is not made any more."""

    default_code = "ETIMEDOUT"


class CallCancelledError(IsoexecError):
    """The call was cancelled by :meth:`isoexec.Task.cancel`."""

    default_code = "ECANCELLED"


class FunctionError(IsoexecError):
    """A host function failed."""

    default_code = "EFUNCTION"


class OutOfMemoryError(IsoexecError, MemoryError):
    """There was not enough memory."""

    default_code = "ENOMEM"


class InternalError(IsoexecError):
    """A fault of isoexec itself; please report it."""

    default_code = "EINTERNAL"


CLASSES: dict[str, type[IsoexecError]] = {
    "EINVAL": ArgumentError,
    "ENOMEM": OutOfMemoryError,
    "EPARSE": MessageError,
    "ETHREAD": RankError,
    "ESTATE": RankError,
    "EVERSION": EngineStartError,
    "EINTERP": EngineStartError,
    "ESCRIPT": ScriptError,
    "EINIT": ScriptError,
    "EDEPTH": RankError,
    "ESPACE": InternalError,
    "ECONFIG": ConfigError,
    "EFUNCTION": FunctionError,
    "EINTERNAL": InternalError,
    "EOVERLOAD": OverloadError,
    "ETIMEDOUT": CallTimeoutError,
    "ECANCELLED": CallCancelledError,
    "ECYCLE": RankCycleError,
}
"""Which class each error code of the C library becomes."""


def error_from_code(code: str, message: str, traceback: str) -> IsoexecError:
    """The exception for a code of the C library. The extension module calls this."""
    return CLASSES.get(code, InternalError)(message, code, traceback)
