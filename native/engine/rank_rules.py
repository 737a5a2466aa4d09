"""Rules for a rank's interpreter, run in it before the script.

Compiled into libisoexec. rules.c puts in `number`, `settings` (a dict), `write(stream, text)`,
`log(level, text)` and `load_in_main(name, origin)`. Nothing here may be imported lazily later: a
script may have changed sys.path by then. Each rule names the CPython versions that need it and why;
docs/limits.md has the measurements.
"""

import _signal
import _thread
import gc
import io
import sys
import threading
import time
import traceback
import types
from importlib import machinery, util

number: int
settings: dict
write: object
log: object
load_in_main: object

LM_NOTICE, LM_WARN, LM_ERR, LM_INFO, LM_DBG, LM_CRIT = 2, 1, -1, 3, 4, -2

ADVICE = 'a rank with isolation "main" or "process" runs it'

# 3.12: single-phase modules of the standard library run their init before they are refused, which
# corrupts memory (gh-117953). Blocked, their pure-Python twins serve (datetime, decimal, zoneinfo),
# or the import fails cleanly (ctypes, pyexpat).
BLOCKED_312 = frozenset(
    """_datetime _zoneinfo _decimal _elementtree pyexpat _ctypes _lsprof readline _curses
    _curses_panel _tkinter faulthandler nis ossaudiodev""".split()
)


def refusal(name):
    return ImportError(
        f'{name} cannot be loaded in a rank with isolation "own_gil": '
        f"it does not support an interpreter with its own GIL; {ADVICE}",
        name=name,
    )


class BlockedFinder:
    """Refuses the modules of BLOCKED_312, as an ImportError that names a level."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in BLOCKED_312:
            raise refusal(name)
        return None


_refused = set()


def note_refused(name):
    """One line in the log: many packages go on with a slow pure-Python part and say nothing."""
    _refused.add(name)
    if name.partition(".")[0] not in sys.stdlib_module_names:
        log(LM_NOTICE, f"{name} is refused here: {ADVICE}")


def guard_extensions():
    """Every refusal is ours; on 3.12 an unknown file is loaded in main first (gh-117953)."""
    create_dynamic = machinery.ExtensionFileLoader.create_module
    create_builtin = machinery.BuiltinImporter.create_module

    def refused(spec, error):
        if "does not support loading in subinterpreters" not in str(error):
            return error
        note_refused(spec.name)
        return refusal(spec.name)

    def create_module(self, spec):
        if spec.name in _refused:  # a second attempt is a SystemError on 3.12.1
            raise refusal(spec.name)
        if sys.version_info < (3, 13):
            failed = load_in_main(spec.name, spec.origin)
            if failed is not None:
                note_refused(spec.name)
                raise ImportError(
                    f"{spec.name} cannot be loaded in this process: {failed}", name=spec.name
                )
        try:
            return create_dynamic(self, spec)
        except ImportError as error:
            raise refused(spec, error) from None

    def create_builtin_module(spec):
        try:
            return create_builtin(spec)
        except ImportError as error:
            raise refused(spec, error) from None

    machinery.ExtensionFileLoader.create_module = create_module
    machinery.BuiltinImporter.create_module = staticmethod(create_builtin_module)


class LogStream(io.TextIOBase):
    """sys.stdout and sys.stderr of a rank: whole lines become lines of the host's log."""

    encoding = "utf-8"
    errors = "surrogateescape"

    def __init__(self, descriptor, name):
        self._descriptor = descriptor
        self.name = name
        self.mode = "w"

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if text:
            write(self._descriptor, text.replace("\0", "\\x00"))  # a line of C text ends at NUL
        return len(text)

    def writable(self):
        return True

    def fileno(self):
        return self._descriptor

    def isatty(self):
        return False

    def flush(self):
        write()


def patch_logging(module):
    """Records go to the host's log with their level, unless the script sends them elsewhere."""
    levels = ((50, LM_CRIT), (40, LM_ERR), (30, LM_WARN), (20, LM_INFO), (0, LM_DBG))

    class HostHandler(module.Handler):
        def emit(self, record):
            try:
                text = self.format(record)
            except Exception:
                self.handleError(record)
                return
            level = next(to for at, to in levels if record.levelno >= at)
            log(level, text.replace("\0", "\\x00"))

    basic_config = module.basicConfig

    def basicConfig(**settings):
        if not settings.keys() & {"filename", "stream", "handlers"}:
            settings["handlers"] = [HostHandler()]
            settings.setdefault("format", "%(message)s")
        basic_config(**settings)

    basicConfig.__doc__ = basic_config.__doc__
    module.basicConfig = basicConfig
    module.lastResort = HostHandler(module.WARNING)


class PatchFinder:
    """Patches a module of the standard library right after its first import."""

    patches = {}

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        patch = cls.patches.pop(name, None)
        if patch is None:
            return None
        spec = util.find_spec(name)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module):
                run(module)
                patch(module)

            spec.loader.exec_module = exec_module
        return spec


def patch(name, change):
    """Has change(module) done to a module of the standard library, now or when it is imported."""
    if name in sys.modules:
        change(sys.modules[name])
    else:
        PatchFinder.patches[name] = change


def refuse_threads():
    """The refusal of a thread names the setting (CPython's speaks of isolated interpreters)."""

    def refused(*args, **keywords):
        raise RuntimeError(
            "threads are off in this rank, which has the setting allow_threads=false: "
            "work in the method, or set allow_threads"
        )

    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        for module, attribute in ((_thread, name), (threading, f"_{name}")):
            if hasattr(module, attribute):
                setattr(module, attribute, refused)


def refuse_daemon_threads():
    """The refusal of a daemon thread names the setting (CPython's says only that it is off)."""

    dummy = threading._DummyThread.__init__.__code__

    def refused():
        if sys._getframe(1).f_code is dummy:
            return False  # a thread that threading did not start: it asks what it is
        raise RuntimeError(
            "daemon threads are off in this rank, because they make a clean stop impossible: "
            "start a normal thread and end it in child_exit, or set allow_daemon_threads"
        )

    for name in ("_daemon_threads_allowed", "_daemon_allowed"):
        if hasattr(threading, name):
            setattr(threading, name, refused)


def getsignal(signalnum, /):
    """None: a rank has no signal handlers. CPython hands out main's own objects, whose reference
    counts two GILs then change (free(): invalid pointer; asyncio.run asks)."""
    if not 1 <= signalnum < _signal.NSIG:
        raise ValueError("signal number out of range")
    return None


def repair_builtins():
    """What CPython gets wrong inside a sub-interpreter."""
    _signal.getsignal = getsignal
    if sys.version_info < (3, 12, 5):
        # str() of an IntEnum is its repr there: f"{HTTPStatus.OK}" is "<HTTPStatus.OK: 200>"
        # (gh-117482).
        import enum

        enum.IntEnum.__str__ = enum.IntFlag.__str__ = int.__repr__
    if sys.version_info < (3, 14):
        # Both walk the threads of every interpreter and free objects of others: abort.
        def current_frames():
            """The frame of the calling thread: CPython's own function crashes in ranks."""
            return {_thread.get_ident(): sys._getframe(1)}

        def current_exceptions():
            """The exception of the calling thread: CPython's own function crashes in ranks."""
            return {_thread.get_ident(): sys.exception()}

        sys._current_frames = current_frames
        sys._current_exceptions = current_exceptions


def install():
    if not settings["process"]:  # which has an interpreter like any other program
        if sys.version_info < (3, 13):
            sys.meta_path.insert(0, BlockedFinder)
        guard_extensions()
        repair_builtins()
        if not settings["allow_daemon_threads"]:
            refuse_daemon_threads()
    sys.meta_path.insert(0, PatchFinder)
    patch("logging", patch_logging)
    if not settings["allow_threads"]:
        refuse_threads()
    sys.stdout = sys.__stdout__ = LogStream(1, "<stdout>")
    sys.stderr = sys.__stderr__ = LogStream(2, "<stderr>")
    sys.stdin = sys.__stdin__ = None
    if settings["recursion_limit"]:
        sys.setrecursionlimit(settings["recursion_limit"])
    sys.setswitchinterval(settings["switch_interval"])
    inside = types.ModuleType("_isoexec_rank", "What `import isoexec` gives inside a rank.")
    inside.number = number
    inside.log = log
    sys.modules["_isoexec_rank"] = inside


def to_json(value):
    """JSON of plain values, of others their repr. Not json: a script may have replaced it."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) is int or (type(value) is float and value - value == 0):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{to_json(str(k))}: {to_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return "[" + ", ".join(to_json(item) for item in value) + "]"
    text = (value if isinstance(value, str) else repr(value)).encode("utf-16-be", "surrogatepass")
    units = (int.from_bytes(text[i : i + 2]) for i in range(0, len(text), 2))
    plain = ('"', "\\")
    return (
        '"'
        + "".join(chr(u) if 32 <= u < 127 and chr(u) not in plain else f"\\u{u:04x}" for u in units)
        + '"'
    )


def look_versions(handler):
    return {"python": sys.version, "prefix": sys.prefix, "rank": number, "path": list(sys.path)}


# Where to look; main_rank.py puts in what is the rank's own.
look_globals = {}  # of a snippet
look_tables = {"modules": sys.modules}


def look_modules(handler):
    modules = look_tables["modules"]
    files = {name: getattr(module, "__file__", None) for name, module in modules.items()}
    return {"modules": dict(sorted(files.items())), "refused": sorted(_refused)}


def look_memory(handler):
    return {"blocks": sys.getallocatedblocks(), "garbage": gc.get_count(), "stats": gc.get_stats()}


def look_threads(handler):
    return [
        {"name": t.name, "ident": t.ident, "daemon": t.daemon, "alive": t.is_alive()}
        for t in threading.enumerate()
    ]


def look(what, argument, handler):
    """What iso_engine_look answers: JSON, and the number of memory blocks."""
    if what == "run":
        names = {**look_globals, "handler": handler, "rank": number, "result": None}
        exec(compile(argument, "<look>", "exec"), names)
        answer = names["result"]
    else:
        looks = {"versions": look_versions, "modules": look_modules, "memory": look_memory}
        looks["threads"] = look_threads
        answer = looks[what](handler)
    return to_json(answer), sys.getallocatedblocks() & 0xFFFFFFFF


FRAMES_MOST = 60  # of a traceback, the innermost: a RecursionError has 1,000, at 20 us each


def format_exception(error):
    """The traceback as text, with chained causes, without the frames that led into the script."""
    trace = error.__traceback__
    try:
        ours = ("<isoexec", "<frozen importlib")
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(ours):
            trace = trace.tb_next
        lines = traceback.format_exception(type(error), error, trace, limit=-FRAMES_MOST)
        return "".join(lines).rstrip("\n")
    except BaseException as second:
        return plain_exception(error, trace, second)


def plain_exception(error, trace, second):
    """The same when CPython's way fails: a __str__ that raises, or its search for what was meant
    (3.15 looks for the package of a module that was not found, which a rank may have)."""
    try:
        lines = traceback.format_tb(trace, limit=-FRAMES_MOST)
        text = f"{type(error).__name__}: {error}"
    except BaseException:
        lines = []
        text = f"{type(error).__name__} (its traceback could not be made: {type(second).__name__})"
    return "Traceback (most recent call last):\n" * bool(lines) + "".join(lines) + text


def format_stack(frame):
    """Where a call is, without the frames that led into the script."""
    try:
        stack = traceback.extract_stack(frame, limit=-FRAMES_MOST)
        lines = traceback.StackSummary.from_list(stack).format()
        return "Stack (most recent call last):\n" + "".join(lines).rstrip("\n")
    except BaseException as error:
        return f"(its stack could not be read: {type(error).__name__})"


def summary(error):
    """One line: of SystemExit and KeyboardInterrupt, which are ways to leave, not faults."""
    return repr(error)


def script_threads():
    me = threading.get_ident()
    daemons = not settings["process"]  # there they end with the process
    return [
        t
        for t in threading.enumerate()
        if t.ident != me and t is not threading.main_thread() and (daemons or not t.daemon)
    ]


def stop_threads(grace):
    """Waits up to `grace` seconds for the script's threads; gives the names of those that go on."""
    if sys.version_info < (3, 13):
        # threading._shutdown expects the thread that imported threading; an ownerless rank is
        # ended by another.
        threading._main_thread._ident = threading.get_ident()
    end = time.monotonic() + grace
    callbacks, threading._threading_atexits[:] = threading._threading_atexits[::-1], []
    if callbacks:
        # What wakes the workers of executors also joins them, without a limit: on a thread, then,
        # so that there is one.
        def run():
            for callback in callbacks:
                callback()

        if settings["allow_threads"]:
            threading.Thread(target=run, name="isoexec-exit").start()
        else:
            run()  # there is no worker to wait for
    while others := script_threads():
        others[0].join(max(0.0, end - time.monotonic()))
        if time.monotonic() >= end:
            return [f"{t.name}{' (daemon)' if t.daemon else ''}" for t in script_threads()]
    return []


def run_exit_functions():
    """The script's atexit functions: here, as one that blocks must not hold the creation lock."""
    import atexit

    atexit._run_exitfuncs()
    # What threading keeps of a thread that it did not start, this one, ends before the teardown.
    vars(getattr(threading, "_thread_local_info", None) or types.SimpleNamespace()).clear()
