"""The exceptions of isoexec.interpreters: one tree, the same on every CPython."""

import queue

from isoexec.errors import IsoexecError

__all__ = [
    "ExecutionFailed",
    "InterpreterError",
    "InterpreterNotFoundError",
    "NotShareableError",
    "NotSupportedError",
    "QueueEmpty",
    "QueueError",
    "QueueFull",
]


class InterpreterError(IsoexecError):
    """Base of all errors of this package; itself: the interpreter cannot do this now."""

    default_code = "EINTERP"


class InterpreterNotFoundError(InterpreterError):
    """The interpreter is closed."""


class NotShareableError(InterpreterError, TypeError):
    """A callable, an argument or a result cannot go from one interpreter to another."""

    default_code = "EINVAL"


class NotSupportedError(InterpreterError, NotImplementedError):
    """This CPython, or its backport, cannot do it; the message names the alternative."""

    default_code = "ESTATE"


class ExecutionFailed(InterpreterError):
    """The code that ran in the interpreter raised. ``traceback`` has its formatted traceback.

    :param type_name: name of the class of its exception, such as ``"KeyError"``.
    :param text: what ``str()`` of its exception gives there.
    :param traceback: its traceback, with chained causes, as Python would print it.
    """

    default_code = "ESCRIPT"

    def __init__(self, type_name: str, text: str, traceback: str) -> None:
        super().__init__(f"{type_name}: {text}" if text else type_name, traceback=traceback)
        self.type_name = type_name
        self.text = text

    def __reduce__(self) -> tuple[type["ExecutionFailed"], tuple[str, str, str]]:
        return type(self), (self.type_name, self.text, self.traceback)


class QueueError(InterpreterError):
    """The queue is gone."""


class QueueEmpty(QueueError, queue.Empty):
    """Nothing came in time."""


class QueueFull(QueueError, queue.Full):
    """No room came free in time."""
