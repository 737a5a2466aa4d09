"""Rules for the main interpreter, run in it once before the first rank is made.

Compiled into libisoexec; main_rules.c puts in `live_ranks()` and `close_all(status)`. Each rule
names the CPython versions that need it and why; docs/limits.md has the measurements.
"""

import _imp
import _thread
import sys
from importlib.machinery import ModuleSpec

live_ranks: object
close_all: object

# 3.12 and 3.13: static types of these are set up by the first interpreter that imports them, and
# two that do so at once corrupt memory (gh-136421, gh-136423); on 3.12 a refused single-phase
# module has run its init by then (gh-117953). What main has loaded first is safe. Clean from 3.14.
PRELOAD = """
datetime decimal zoneinfo _datetime _decimal _zoneinfo pyexpat _elementtree _ctypes _lsprof
_asyncio _bisect _blake2 _bz2 _contextvars _csv _hashlib _heapq _json _lzma _md5 _multiprocessing
_opcode _pickle _posixshmem _posixsubprocess _queue _random _sha1 _sha2 _sha3 _socket _sqlite3 _ssl
_statistics _struct _uuid array binascii cmath fcntl grp math mmap resource select syslog termios
unicodedata zlib hashlib ssl asyncio
"""

# By name and file: module, or what failed. Kept, as a module that goes may take C statics with it.
_loaded = {}
_loading = _thread.allocate_lock()


def preload(extra):
    """Imports the modules that ranks must find loaded. A name of `extra` that fails is an error."""
    if sys.version_info < (3, 14):
        for name in PRELOAD.split():
            try:
                __import__(name)
            except ImportError:
                pass  # not part of this build of CPython
    for name in extra.replace(",", " ").split():
        try:
            __import__(name)
        except Exception as error:
            raise ImportError(
                f"preload: {name} cannot be imported: {type(error).__name__}: {error}"
            ) from error


def load_extension(name, origin):
    """Loads an extension file for a rank (3.12 only), running none of its Python code. What failed,
    as text, else None: a rank that tried by itself would corrupt memory."""
    with _loading:
        if (name, origin) not in _loaded and name not in sys.modules:
            _loaded[name, origin] = None, "it is being loaded"
            try:
                _loaded[name, origin] = (
                    _imp.create_dynamic(ModuleSpec(name, None, origin=origin)),
                    None,
                )
            except ImportError as error:
                _loaded[name, origin] = None, str(error)
            except Exception as error:
                _loaded[name, origin] = None, f"{type(error).__name__}: {error}"
            finally:
                sys.modules.pop(name, None)
        return _loaded.get((name, origin), (None, None))[1]


_python_host = False


def child_command():
    """The Python that runs here, and the options that make another one like it."""
    if not sys.executable:
        raise RuntimeError("sys.executable is empty: set python_executable")
    if not _python_host:
        return [sys.executable, "-I", "-X", "utf8"]  # as pyconfig.c starts that of a C host
    import subprocess

    return [sys.executable, *subprocess._args_from_interpreter_flags()]


def tracing():
    """Whether tracemalloc traces: with ranks it crashes 3.12 and 3.14 (gh-134604, gh-144172)."""
    module = sys.modules.get("_tracemalloc")
    if module is None:
        try:
            import _tracemalloc as module
        except ImportError:
            return False
    return module.is_tracing()


def adopt_host():
    """What a Python host must do, or not do, while it has ranks."""
    import atexit

    global _python_host
    _python_host = True
    atexit.register(leave)
    guard_tracemalloc()
    remember_exit()
    if sys.version_info < (3, 14):
        guard_frames()


_exit_status = None  # what sys.exit was last called with


def leave():
    """The last exit function: ends all ranks, and knows the exit status should one not end."""
    status = _exit_status
    if status is None:
        status = 1 if getattr(sys, "last_exc", None) is not None else 0
    elif not isinstance(status, int):
        status = 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # closed, or None
    close_all(status & 0xFF)


def remember_exit():
    """CPython keeps the status of sys.exit where no exit function can read it."""
    sys_exit = sys.exit

    def exit(status=None, /):
        global _exit_status
        _exit_status = 0 if status is None else status
        sys_exit(status)

    exit.__doc__ = sys_exit.__doc__
    sys.exit = exit


def guard_tracemalloc():
    import tracemalloc

    start = tracemalloc.start

    def guarded_start(*args):
        if live_ranks():
            raise RuntimeError(
                "tracemalloc crashes a process with isoexec ranks (CPython gh-134604): "
                "close the engines first"
            )
        start(*args)

    tracemalloc.start = guarded_start


def guard_frames():
    """Before 3.14 these walk the threads of every interpreter and free objects of others: abort."""
    all_frames, all_exceptions = sys._current_frames, sys._current_exceptions

    def current_frames():
        """All threads; only the calling one while there are isoexec ranks (CPython before 3.14)."""
        return {_thread.get_ident(): sys._getframe(1)} if live_ranks() else all_frames()

    def current_exceptions():
        """All threads; only the calling one while there are isoexec ranks (CPython before 3.14)."""
        return {_thread.get_ident(): sys.exception()} if live_ranks() else all_exceptions()

    sys._current_frames = current_frames
    sys._current_exceptions = current_exceptions
