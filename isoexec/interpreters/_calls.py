"""Calls before CPython 3.14: what ``Interpreter.call`` of 3.14 does, over bytes.

The backport's own call takes plain functions only and forgets their defaults and closure. Here a
function without state goes as its code, anything else by pickle, as in 3.14.
"""

import builtins
import dis
import marshal
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

from isoexec.interpreters.errors import ExecutionFailed, NotShareableError

GLOBAL_READS = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
GLOBAL_WRITES = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})

_reads: WeakKeyDictionary[CodeType, frozenset[str] | None] = WeakKeyDictionary()


def trampoline(payload: bytes) -> Any:
    """What the backport carries over: it may use no global of this module."""
    import sys

    return sys.modules["_isoexec_runner"].run(payload)


def pack_call(
    function: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]
) -> bytes:
    """The payload of one call for run() in _runner."""
    if not callable(function):
        raise TypeError(f"expected a callable, got {function!r}")
    code = stateless_code(function)
    if code is not None:
        return _pack("code", code, args, kwargs)
    try:
        octets = pickle.dumps(function)
    except Exception as error:
        raise NotShareableError(
            f"{function!r} can not go to an interpreter: it must be importable there, or a "
            f"function without closure, defaults and globals ({error})"
        ) from error
    return _pack("pickle", octets, args, kwargs)


def pack_own(name: str, argument: object) -> bytes:
    """The payload that asks run() for one of its own functions: "exec" or "bind"."""
    return _pack("own", name, (argument,), {})


def unpack(answer: bytes) -> Any:
    """The value that run() gave, or the exception that it tells of."""
    kind, *rest = marshal.loads(answer)
    if kind == "raised":
        raise ExecutionFailed(*rest)
    if kind == "not shareable":
        raise NotShareableError(rest[0])
    return pickle.loads(rest[0])


def _pack(kind: str, what: Any, args: object, kwargs: Mapping[str, object]) -> bytes:
    try:
        arguments = pickle.dumps((args, kwargs))
    except Exception as error:
        raise NotShareableError(f"an argument can not go to an interpreter: {error}") from error
    main_file = getattr(sys.modules.get("__main__"), "__file__", None)
    return marshal.dumps((kind, what, arguments, main_file))


def stateless_code(function: object) -> CodeType | None:
    """The code of a function that is nothing but its code, else None."""
    if (
        type(function) is not FunctionType
        or function.__closure__
        or function.__defaults__
        or function.__kwdefaults__
    ):
        return None
    code = function.__code__
    try:
        names = _reads[code]
    except KeyError:
        names = _reads[code] = global_names(code)
    if names is None or not names.isdisjoint(function.__globals__):
        return None
    return code if all(hasattr(builtins, name) for name in names) else None


def global_names(code: CodeType) -> frozenset[str] | None:
    """The globals that a function and the functions in it read; None if one writes any."""
    names = set()
    for instruction in _instructions(code):
        if instruction.opname in GLOBAL_WRITES:
            return None
        if instruction.opname in GLOBAL_READS:
            names.add(instruction.argval)
    return frozenset(names)


def _instructions(code: CodeType) -> Iterator[dis.Instruction]:
    yield from dis.get_instructions(code)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _instructions(constant)
