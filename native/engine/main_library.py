"""The standard library as own modules of a rank with isolation main see it.

Compiled into libisoexec and run after rank_rules.py, whose names it finds (`LogStream`,
`patch_logging`); main_rank.py runs after it and finds these. The library itself is the host's. What
writes to sys.stdout or sys.stderr, or finds modules by name in sys.modules, is the rank's own: a
copy, or a view, made when an own module first imports it.
"""

import builtins as host_builtins
import collections
import importlib
import io
import sys
import types
from importlib import util

# Copies, run from source with the rank's builtins; for each, what its import must not find. The C
# part of warnings (_warnings) shows them through sys.modules["warnings"], which is the host's.
COPIED = {
    "_py_warnings": (),  # of warnings, from 3.14 on
    "logging": (),
    "pprint": (),
    "traceback": (),
    "warnings": ("_warnings",),
}

table = {}  # the rank's modules


class View(types.ModuleType):
    """A module of the host with some names of the rank's own; what is set on it stays here."""

    def __init__(self, host, **names):
        super().__init__(host.__name__, host.__doc__)
        self.__dict__.update(names, __host__=host)

    def __getattr__(self, name):
        return getattr(self.__dict__["__host__"], name)

    def __dir__(self):
        return sorted({*dir(self.__dict__["__host__"]), *self.__dict__})


def rebound(function, names):
    """The same function over other globals."""
    made = types.FunctionType(
        function.__code__, names, function.__name__, function.__defaults__, function.__closure__
    )
    made.__kwdefaults__ = function.__kwdefaults__
    made.__doc__ = function.__doc__
    made.__qualname__ = function.__qualname__
    return made


def rebound_module(host, **names):
    """A copy whose functions have other globals, and whose classes and constants are the host's:
    others compare them by identity."""
    module = types.ModuleType(host.__name__, host.__doc__)
    vars(module).update(vars(host), **names)
    for name, value in vars(host).items():
        if type(value) is types.FunctionType and value.__globals__ is vars(host):
            setattr(module, name, rebound(value, vars(module)))
    return module


def own_dataclasses():
    """It looks for the module of a class, to see whether the text "ClassVar" means typing's."""
    return rebound_module(importlib.import_module("dataclasses"), sys=table["sys"])


def own_typing():
    host = importlib.import_module("typing")
    names = {**vars(host), "sys": table["sys"]}
    return View(host, get_type_hints=rebound(host.get_type_hints, names))


def own_contextlib():
    """redirect_stdout and redirect_stderr of the rank's streams."""
    host = importlib.import_module("contextlib")
    names = {**vars(host), "sys": table["sys"]}
    methods = {
        name: rebound(getattr(host._RedirectStream, name), names)
        for name in ("__enter__", "__exit__")
    }
    return View(
        host,
        **{
            name: type(name, (getattr(host, name),), methods)
            for name in ("redirect_stdout", "redirect_stderr")
        },
    )


def own_pickle():
    """Own classes are found by name. The C pickler asks the host's sys.modules and fails for them;
    then the one in Python, which is slow, takes over."""
    host = importlib.import_module("pickle")
    pure = util.module_from_spec(util.find_spec("pickle"))
    vars(pure)["__builtins__"] = without("_pickle")
    pure.__spec__.loader.exec_module(pure)
    for name, value in vars(host).items():
        if isinstance(value, type) and issubclass(value, Exception):
            setattr(pure, name, value)

    class Unpickler(host.Unpickler):
        def find_class(self, module, name):
            if module not in table:
                try:
                    table["importlib"].import_module(module)
                except ImportError:
                    pass  # as the host says it
            found = table.get(module)
            if found is None:
                return super().find_class(module, name)
            for part in name.split("."):
                found = getattr(found, part)
            return found

    def dumps(obj, protocol=None, **options):
        try:
            return host.dumps(obj, protocol, **options)
        except host.PicklingError:
            return pure.dumps(obj, protocol, **options)

    def dump(obj, file, protocol=None, **options):
        file.write(dumps(obj, protocol, **options))

    def loads(data, /, **options):
        return Unpickler(io.BytesIO(data), **options).load()

    def load(file, **options):
        return Unpickler(file, **options).load()

    return View(
        host,
        Pickler=pure.Pickler,
        Unpickler=Unpickler,
        **{function.__name__: function for function in (dump, dumps, load, loads)},
    )


MADE = {
    "contextlib": own_contextlib,
    "dataclasses": own_dataclasses,
    "pickle": own_pickle,
    "typing": own_typing,
}


def without(*names):
    """The rank's builtins, but an import that does not find these modules."""
    builtins = vars(table["builtins"])

    def find_others(name, *rest, **options):
        if name in names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return builtins["__import__"](name, *rest, **options)

    return {**builtins, "__import__": find_others}


def patch_copy(module):
    """After a copy has run."""
    if module.__name__ == "logging":
        patch_logging(module)


def os_without_fork_hooks():
    """What a copy of logging gets: hooks of os.register_at_fork would keep the rank's modules for
    good."""
    return View(importlib.import_module("os"), register_at_fork=lambda **hooks: None)


def rank_print(*values, sep=" ", end="\n", file=None, flush=False):
    """print: to the rank's log unless a file is given."""
    file = table["sys"].stdout if file is None else file
    if file is not None:
        host_builtins.print(*values, sep=sep, end=end, file=file, flush=flush)


def rank_input(prompt="", /):
    """input: a rank has no stdin."""
    raise RuntimeError("input(): lost sys.stdin")


def rank_exit(code=None):
    """exit and quit: the host's would close its stdin."""
    raise SystemExit(code)


def make_builtins(rank_import):
    """The module that own modules import as builtins. Its names are their `__builtins__`, so that
    what is set there (gettext does) is seen by them, and by nobody else."""
    module = types.ModuleType("builtins", host_builtins.__doc__)
    vars(module).update(
        vars(host_builtins),
        __import__=rank_import,
        print=rank_print,
        input=rank_input,
        exit=rank_exit,
        quit=rank_exit,
    )
    return module


def make_sys():
    streams = {
        name: LogStream(descriptor, f"<{name}>")
        for descriptor, name in ((1, "stdout"), (2, "stderr"))
    }
    streams |= {f"__{name}__": stream for name, stream in streams.items()}
    modules = collections.ChainMap(table, sys.modules)
    return View(sys, modules=modules, stdin=None, __stdin__=None, **streams)
