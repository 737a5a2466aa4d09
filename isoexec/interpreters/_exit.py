"""The end of the program: interpreters that are still open, and an abort of CPython 3.12."""

import atexit
import os
import sys
from typing import Protocol


class Closable(Protocol):
    """What _exit needs of an open interpreter."""

    id: int

    def is_running(self) -> bool: ...
    def end(self) -> None: ...


open_interpreters: dict[int, Closable] = {}
"""Those that were made and not closed, by number."""

made_any = False


def note_made(interpreter: Closable) -> None:
    global made_any
    if needs_forgetting():
        import ctypes  # noqa: F401 - missing from this build: say so now, do not abort at exit
    made_any = True
    open_interpreters[interpreter.id] = interpreter


@atexit.register
def leave() -> None:
    """Closes what is open. One that runs still, on a daemon thread, can not be closed.

    Before 3.14 CPython aborts or crashes when it finalises with such a one, so the program is left
    at once: its exit status is not known here, and 1 says that something is wrong.
    """
    stuck = []
    for interpreter in list(open_interpreters.values()):
        if interpreter.is_running():
            stuck.append(interpreter.id)
            continue
        try:
            interpreter.end()
        except Exception as error:
            sys.stderr.write(f"isoexec.interpreters: interpreter {interpreter.id}: {error}\n")
    if made_any and needs_forgetting():
        forget_parsers()
    if stuck and sys.version_info < (3, 14):
        numbers = ", ".join(map(str, stuck))
        sys.stderr.write(
            f"isoexec.interpreters: still running at exit: interpreter {numbers}; "
            "leaving with status 1\n"
        )
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                pass  # closed, or None
        os._exit(1)


def needs_forgetting() -> bool:
    return sys.version_info < (3, 12, 4)


def forget_parsers() -> None:
    """Makes finalisation forget the keyword parsers of extension modules (gh-119213).

    A keyword call leaves a tuple in a parser, and the parser in one list of the process. Before
    3.12.4 finalisation frees each tuple with the main interpreter's allocator, which aborts if
    another interpreter made it. A new parser stands at the head of that list: when ours has no
    successor, the others are forgotten. Some tuples leak, in a process that ends.
    """
    import ctypes

    class Parser(ctypes.Structure):  # struct _PyArg_Parser of CPython 3.12
        _fields_ = [
            ("initialized", ctypes.c_int),
            ("format", ctypes.c_char_p),
            ("keywords", ctypes.POINTER(ctypes.c_char_p)),
            ("fname", ctypes.c_char_p),
            ("custom_msg", ctypes.c_char_p),
            ("pos", ctypes.c_int),
            ("min", ctypes.c_int),
            ("max", ctypes.c_int),
            ("kwtuple", ctypes.c_void_p),
            ("next", ctypes.c_void_p),
        ]

    no_keywords = (ctypes.c_char_p * 1)(None)
    parser = Parser(
        format=b":isoexec", keywords=ctypes.cast(no_keywords, ctypes.POINTER(ctypes.c_char_p))
    )
    parse = ctypes.pythonapi["_PyArg_ParseTupleAndKeywordsFast"]
    parse.argtypes = [ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p]
    for kept in (no_keywords, parser):  # finalisation reads them after all Python objects are gone
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
    parse((), None, ctypes.addressof(parser))
    parser.next = None
