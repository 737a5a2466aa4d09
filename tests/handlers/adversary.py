"""Methods that do to their interpreter what no handler should; after each, `fine` must answer."""

import asyncio
import atexit
import builtins
import contextvars
import copy
import functools
import gc
import os
import pickle
import random
import sys
import threading
import time
import weakref

import OpenSIPS


class Odd:
    """What its hooks do is given; without that, nothing."""

    def __init__(self, **hooks):
        self.hooks = hooks

    def __del__(self):
        self.hooks.get("delete", int)()


def raises(*_):
    raise LookupError("a hook raised")


def chain(length):
    error = ValueError(0)
    for number in range(1, length):
        outer = ValueError(number)
        outer.__cause__, error = error, outer
    return error


def deep(depth):
    return 0 if depth == 0 else 1 + deep(depth - 1)


def endless(*_):
    return 1 + endless()


class Calls:
    """What a method can be."""

    partial = staticmethod(functools.partial(lambda number, msg: number, 3))
    partial_method = functools.partialmethod(lambda self, number, msg: number, 3)
    builtin = len
    a_type = int
    anything = property(lambda self: lambda msg: 3)
    not_callable = 3
    none = None

    @staticmethod
    def static(msg):
        return 3

    @classmethod
    def of_class(cls, msg):
        return 3

    @property
    def broken(self):
        raise LookupError("no method today")

    @property
    def no_attribute(self):
        raise AttributeError("an attribute of something else")

    @property
    def leaves(self):
        raise SystemExit(3)

    async def coroutine(self, msg):
        return 3

    def generator(self, msg):
        yield 3

    def flag(self, msg):
        return True

    def own_int(self, msg):
        class Own(int):
            def __index__(self):
                raise LookupError

        return Own(3)

    class Callable:
        def __call__(self, msg):
            return 3

    an_object = Callable()


class Modules:
    """What belongs to the interpreter, taken away or replaced."""

    def own_module_gone(self, msg):
        sys.modules.pop(__name__, None)
        sys.modules.pop("OpenSIPS", None)
        raise ValueError("after that")

    def modules_gone(self, msg):
        for name in ("traceback", "threading", "io", "linecache", "types", "logging", "encodings"):
            sys.modules.pop(name, None)
        raise ValueError("after that")

    def no_modules(self, msg):
        sys.modules.clear()
        raise ValueError("after that")

    def modules_replaced(self, msg):
        sys.modules = {}
        raise ValueError("after that")

    def import_replaced(self, msg):
        builtins.__import__ = raises
        raise ValueError("after that")

    def builtins_replaced(self, msg):
        for name in ("str", "repr", "len", "isinstance", "print", "getattr", "hasattr", "type"):
            setattr(builtins, name, raises)
        raise ValueError("after that")

    def no_builtins(self, msg):
        builtins.__dict__.clear()
        return 3

    def path_replaced(self, msg):
        sys.path, sys.meta_path, sys.path_hooks = None, None, None
        import csv

        return len(csv.__name__)

    def finders_raise(self, msg):
        sys.meta_path.insert(0, Odd())
        import csv

        return len(csv.__name__)

    def rules_gone(self, msg):
        type(sys.stdout).write.__globals__.clear()
        raise ValueError("after that")

    def rules_misused(self, msg):
        names = type(sys.stdout).write.__globals__
        names["write"](7, "text\n")
        for function, arguments in (
            ("write", (1, 2)),
            ("write", (None, "x")),
            ("log", (1 << 70, "x")),
            ("log", (1, 2)),
            ("log", ()),
            ("load_in_main", (1, 2)),
            ("load_in_main", ("\ud800", "x")),
        ):
            try:
                names[function](*arguments)
            except (TypeError, OverflowError, UnicodeError):
                pass
        names["load_in_main"]("absent", "/absent.so")
        return 3

    def module_object(self, msg):
        module = sys.modules["OpenSIPS"]
        module.__dict__.clear()
        msg.append_header("X", "y")
        return 3


class Streams:
    def stdout_object(self, msg):
        sys.stdout = object()
        print("gone")

    def stdout_none(self, msg):
        sys.stdout = None
        print("gone")
        return 3

    def no_stdout(self, msg):
        del sys.stdout
        print("gone")

    def stdout_closed(self, msg):
        sys.stdout.close()
        print("gone")

    def stderr_broken(self, msg):
        sys.stderr = object()
        Odd(delete=raises)
        return 3

    def lines_without_end(self, msg):
        for _ in range(1000):
            print("x" * 1000, end="")
        return 3

    def hooks_raise(self, msg):
        sys.unraisablehook = sys.excepthook = threading.excepthook = sys.displayhook = raises
        Odd(delete=raises)
        thread = threading.Thread(target=raises)
        thread.start()
        thread.join()
        return 3


class Errors:
    def del_in_del(self, msg):
        """Deep, but not to the limit: CPython 3.12 takes exponential time there."""

        def again(depth):
            return depth and Odd(delete=lambda: again(depth - 1))

        again(50)
        return 3

    def bad_class(self, msg):
        class Meta(type):
            __name__ = property(raises)
            __module__ = property(raises)

        class Bad(Exception, metaclass=Meta):
            __str__ = __repr__ = __reduce__ = __getattribute__ = raises

        raise Bad

    def bad_exit(self, msg):
        class Bad(SystemExit):
            __str__ = __repr__ = raises

        raise Bad

    def exit_while_formatted(self, msg):
        class Bad(Exception):
            def __str__(self):
                raise SystemExit(9)

        raise Bad

    def long_chain(self, msg):
        raise chain(20_000)

    def circular(self, msg):
        first, second = ValueError("first"), ValueError("second")
        first.__cause__, second.__cause__ = second, first
        first.__context__, second.__context__ = second, first
        raise first

    def deep_group(self, msg):
        error = ValueError("inner")
        for _ in range(2_000):
            error = ExceptionGroup("outer", [error])
        raise error

    def wide_group(self, msg):
        raise ExceptionGroup("wide", [ValueError(number) for number in range(20_000)])

    def long_text(self, msg):
        raise ValueError("x" * 10_000_000)

    def many_lines(self, msg):
        raise ValueError("x\n" * 10_000)

    def long_trace(self, msg):
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(1_000_000)
        try:
            return deep(200_000) and raises()
        finally:
            sys.setrecursionlimit(limit)

    def no_limit_in_c(self, msg):
        sys.setrecursionlimit(1_000_000)

        class Deep:
            def __getattr__(self, name):
                return getattr(self, name + "x"[:0])

            def __eq__(self, other):
                return sorted([self, other], key=lambda one: one == other) != []

            def __repr__(self):
                return repr([self])

        for what in (lambda: Deep().there, lambda: repr(Deep()), lambda: Deep() == Deep()):
            try:
                what()
            except RecursionError:
                pass
        return 3

    def stop_iteration(self, msg):
        raise StopIteration(3)

    def cancelled(self, msg):
        raise asyncio.CancelledError

    def old_traceback(self, msg):
        try:
            raises()
        except LookupError as error:
            self.error = error
        raise self.error.with_traceback(None)

    def result_del_raises(self, msg):
        return Odd(delete=raises)

    def argument_kept_by_error(self, msg):
        self.seen = msg
        raise ValueError(msg)


class Interpreter:
    def trace_raises(self, msg):
        sys.settrace(raises)
        return deep(10)

    def trace_all(self, msg):
        def tracer(frame, event, argument):
            frame.f_trace_opcodes = True
            return tracer

        sys.settrace(tracer)
        sys.setprofile(lambda *_: None)
        return 3

    def profile_raises(self, msg):
        sys.setprofile(raises)
        return deep(10)

    def audit_raises(self, msg):
        def hook(event, arguments):
            if event == "compile":
                raise LookupError("not allowed")

        sys.addaudithook(hook)
        return 3

    def monitoring(self, msg):
        tools = sys.monitoring
        if tools.get_tool(3) is None:
            tools.use_tool_id(3, "adversary")
        tools.register_callback(3, tools.events.PY_START, lambda *_: None)
        tools.set_events(3, tools.events.PY_START)
        return 3

    def collector(self, msg):
        gc.freeze()
        gc.callbacks.append(raises)
        gc.collect()
        gc.disable()
        gc.set_threshold(1, 1, 1)
        return 3

    def all_objects(self, msg):
        for found in gc.get_objects():
            gc.get_referrers(found) if random.random() < 0.001 else None
            sys.getsizeof(found, 0)
        return 3

    def switch_interval(self, msg):
        sys.setswitchinterval(1e-6)
        return 3

    def interrupted(self, msg):
        import _thread

        try:
            _thread.interrupt_main(10_000)
        except ValueError:
            return 3

    def inner_interpreter(self, msg):
        for name in ("_interpreters", "_xxsubinterpreters"):
            try:
                module = __import__(name)
                break
            except ImportError:
                pass
        self.inner = module.create()
        module.run_string(self.inner, "x = 1")
        module.destroy(self.inner)
        return 3

    def context(self, msg):
        variable = contextvars.ContextVar("variable")
        variable.set(Odd(delete=raises))
        self.context_kept = contextvars.copy_context()
        return 3

    def folder(self, msg):
        os.chdir("/")
        return 3

    def generators(self, msg):
        def open_one():
            try:
                yield 1
            finally:
                msg.getHeader("Call-ID")
                raise LookupError("while closed")

        async def async_one():
            try:
                yield 1
            finally:
                await asyncio.sleep(0)

        async def take():
            self.async_one = async_one()
            await anext(self.async_one)

        self.one = open_one()
        next(self.one)
        next(open_one())
        asyncio.run(take())
        return 3

    def weak(self, msg):
        class Target:
            pass

        target = Target()
        self.weak_one = weakref.ref(target, raises)
        self.finalizer = weakref.finalize(target, raises)
        return 3

    def names(self, msg):
        sys.modules["__main__"] = None
        globals()["__name__"] = None
        globals()["__file__"] = None
        globals()["__spec__"] = 5
        try:
            raises()
        finally:
            globals()["__name__"] = "adversary"


class Messages:
    def misuse(self, msg):
        kind = type(msg)
        attempts = [
            lambda: kind.__new__(kind).raw,
            lambda: object.__new__(kind),
            lambda: kind(),
            lambda: kind(5),
            lambda: kind(b""),
            lambda: kind(b"x", source=5),
            lambda: msg.__init__(),
            lambda: msg.__init__(b"BYE sip:a@b SIP/2.0\r\n\r\n"),
            lambda: copy.copy(msg).raw,
            lambda: copy.deepcopy(msg).raw,
            lambda: pickle.dumps(msg),
            lambda: setattr(msg, "Method", 3),
            lambda: setattr(msg, "__class__", Odd),
            lambda: setattr(kind, "raw", 3),
            lambda: delattr(msg, "raw"),
            lambda: type("Sub", (kind,), {}),
            lambda: hash(msg),
            lambda: weakref.ref(msg),
            lambda: msg.getHeader(),
            lambda: msg.getHeader(None),
            lambda: msg.getHeader("\ud800"),
            lambda: msg.getHeader("x" * 100_000),
            lambda: msg.headers(""),
            lambda: msg.append_header("", ""),
            lambda: msg.append_header("X" * 100_000, "y"),
            lambda: msg.set_body(None, None),
            lambda: msg.set_body(bytearray(b"x"), "text/plain"),
            lambda: msg.call_function(),
            lambda: msg.call_function(None),
            lambda: msg.call_function("absent", *range(1000)),
            lambda: msg.call_function("append_hf", "\0"),
        ]
        for attempt in attempts:
            try:
                attempt()
            except (TypeError, ValueError, AttributeError, RuntimeError, pickle.PicklingError):
                pass
        return 3

    def kept(self, msg):
        self.last = getattr(self, "messages", [])[-1:]
        self.messages = [*getattr(self, "messages", []), msg]
        for one in self.last:
            if one.raw != msg.raw or one.getHeader("Call-ID") is None:
                return -3
        return 3

    def kept_to_the_end(self, msg):
        """Used again when the interpreter's objects go away."""

        def last():
            OpenSIPS.LM_INFO(f"last: {msg.Method} {msg.getHeader('Call-ID')}")
            print("last line", msg)
            msg.append_header("X", "y")

        def ask():
            msg.call_function("absent")

        sys.own_end = [Odd(delete=last), Odd(delete=ask), msg]
        builtins.own_end = Odd(delete=last)
        atexit.register(last)
        atexit.register(ask)
        return 3

    def read_by_threads(self, msg):
        def read():
            for _ in range(200):
                msg.getHeader("Call-ID")
                msg.header_names()
                time.sleep(0.0001)

        self.readers = [threading.Thread(target=read) for _ in range(4)]
        for thread in self.readers:
            thread.start()
        return 3

    def many_edits(self, msg):
        for number in range(20_000):
            msg.append_header(f"X-{number}", "y" * 100)
        return 3


class Handler(Calls, Modules, Streams, Errors, Interpreter, Messages):
    def child_init(self, rank):
        return 0

    def fine(self, msg):
        return 7


def mod_init():
    return Handler()
