"""Which package makes the interpreters on this CPython, and its errors as ours.

3.14 and newer: the standard library. Before: backports-interpreters, the only package of PyPI that
works on 3.12 and on 3.13 (docs/interpreters.md has the comparison). Of it only its public names are
used, and of its ``call`` only what it does right: one plain function over bytes.
"""

import importlib
import platform
import sys
from importlib import metadata
from types import ModuleType
from typing import Final, NamedTuple

from isoexec.interpreters.errors import (
    ExecutionFailed,
    InterpreterError,
    InterpreterNotFoundError,
    NotShareableError,
)


class Backend(NamedTuple):
    """The package that makes the interpreters."""

    name: str
    version: str


NATIVE: Final = sys.version_info >= (3, 14)  # the standard library has PEP 734


def load() -> tuple[ModuleType, Backend]:
    if NATIVE:
        found = Backend("concurrent.interpreters", platform.python_version())
        return importlib.import_module(found.name), found
    try:
        module = importlib.import_module("backports.interpreters")
        return module, Backend("backports-interpreters", metadata.version("backports-interpreters"))
    except ImportError:
        raise ImportError(
            "isoexec.interpreters needs a backport on CPython before 3.14: "
            "pip install isoexec[interpreters]"
        ) from None


module, backend = load()

# The backport lets the RuntimeError of 3.12 through: closed, or running already.
ERRORS: Final[tuple[type[Exception], ...]] = (
    module.InterpreterError,
    module.NotShareableError,
    *(() if sys.version_info >= (3, 13) else (RuntimeError,)),
)


def translate(error: Exception) -> InterpreterError:
    """The exception of ours for one of ERRORS."""
    text = str(error)
    if isinstance(error, module.ExecutionFailed):
        info = error.excinfo
        name = info.type.__name__ if info.type else "Exception"
        return ExecutionFailed(name, info.msg or "", getattr(info, "errdisplay", None) or text)
    if isinstance(error, module.NotShareableError):
        cause = f": {error.__cause__}" if error.__cause__ else ""
        return NotShareableError(f"{text}{cause}")
    if isinstance(error, module.InterpreterNotFoundError) or "unrecognized interpreter" in text:
        return InterpreterNotFoundError("the interpreter is closed")
    return InterpreterError(text)
