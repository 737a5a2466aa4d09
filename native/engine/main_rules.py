"""Rules for the main interpreter, run in it once before the first rank is made.

Compiled into libisoexec. `live_ranks` and `close_all` are put in by main_rules.c. Each rule names
the CPython versions that need it and why; docs/limits.md has the measurements.
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

_loaded = set()
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
    """Loads an extension file for a rank (3.12 only), running none of its Python code."""
    with _loading:
        if (name, origin) in _loaded or name in sys.modules:
            return
        _loaded.add((name, origin))
        try:
            _imp.create_dynamic(ModuleSpec(name, None, origin=origin))
        except Exception:
            pass  # the rank's own attempt raises, with its own traceback
        finally:
            sys.modules.pop(name, None)


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
    """A Python host: ends all ranks at its exit, and refuses tracemalloc while there are some."""
    import atexit
    import tracemalloc

    atexit.register(close_all)
    start = tracemalloc.start

    def guarded_start(*args):
        if live_ranks():
            raise RuntimeError(
                "tracemalloc crashes a process with isoexec ranks (CPython gh-134604): "
                "close the engines first"
            )
        start(*args)

    tracemalloc.start = guarded_start
