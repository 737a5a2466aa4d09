"""A rank with isolation main: own modules that share the host's interpreter and are kept apart.

Compiled into libisoexec and run after rank_rules.py, whose names it finds (`number`, `log`,
`LogStream`, `patch_logging`, `look_globals`). The rank's modules are in `table`, not in
sys.modules. Their `__builtins__` is a dict of the rank, whose `__import__` looks into the table
first and whose print writes to the rank's log. Nothing of the host's interpreter is replaced. What
libraries of site-packages import is the host's; docs/isolation.md says what that means.
"""

import builtins as host_builtins
import collections
import importlib
import sys
import threading
import time
import types
from importlib import util

# Modules of the standard library that a rank has a copy of, so that what they write or look up is
# the rank's: logging has handlers, traceback writes to sys.stderr, dataclasses looks for the module
# of a class in sys.modules.
COPIED = frozenset(("logging", "traceback", "dataclasses"))

table = {}
own = None  # the rank's OwnModules
lock = threading.RLock()  # one import of the rank at a time: threads of the script import too
foreign = set()  # names of modules that are not own


class View(types.ModuleType):
    """A module of the host with some names of the rank's own; what is set on it stays here."""

    def __init__(self, host, **names):
        super().__init__(host.__name__, host.__doc__)
        self.__dict__.update(names, __host__=host)

    def __getattr__(self, name):
        return getattr(self.__dict__["__host__"], name)

    def __dir__(self):
        return sorted({*dir(self.__dict__["__host__"]), *self.__dict__})


def missing(name):
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


def place(name, module):
    """A submodule is an attribute of its package from its start: imports may go in circles."""
    package, _, child = name.rpartition(".")
    if package in table and not isinstance(table[package], View):
        setattr(table[package], child, module)


def find_spec(name):
    """The spec of a module of the rank, or None if the host's import is to find it."""
    package, _, _ = name.rpartition(".")
    if package:
        parent = find(package)
        if parent is None or isinstance(parent, View):
            return None
        spec = own.find_spec(name, getattr(parent, "__path__", ()))
        if spec is None:
            raise missing(name)
        return spec
    if name in COPIED:
        return util.find_spec(name)
    if name in sys.stdlib_module_names:
        return None
    places = [*sys.path, own.folder] if own.hides else [own.folder, *sys.path]
    spec = own.find_spec(name, places)
    if spec is None or spec.origin is not None:
        return spec if spec is not None and own.is_own_file(spec.origin) else None
    return spec if all(map(own.is_own_file, spec.submodule_search_locations)) else None


def find(name):
    """The module of the rank of this name, loaded if need be; None: it is the host's."""
    module = table.get(name)
    if module is not None:
        return module
    with lock:
        if name in foreign:
            return None
        if name in table:
            if table[name] is None:
                raise missing(name)
            return table[name]
        spec = find_spec(name)
        if spec is None:
            foreign.add(name)
            return None
        own.execute(spec)
        place(name, table[name])
        if name == "logging":
            patch_logging(table[name])
        return table[name]


def absolute(name, names, level):
    if level == 0:
        return name
    package = (names or {}).get("__package__") or ""
    if not package:
        module, _, _ = (names or {}).get("__name__", "").rpartition(".")
        package = (names or {}).get("__name__", "") if "__path__" in (names or {}) else module
    return util.resolve_name("." * level + name, package)


def import_from(module, name, wanted):
    """What `from module import a, b` needs beyond attributes: submodules."""
    if "*" in wanted:
        wanted = [item for item in wanted if item != "*"] + list(getattr(module, "__all__", ()))
    if not hasattr(module, "__path__"):
        return
    for item in wanted:
        child = f"{name}.{item}"
        if hasattr(module, item):
            continue
        if child in table:
            place(child, table[child])
            continue
        try:
            find(child)
        except ModuleNotFoundError as error:
            if error.name != child:
                raise


def rank_import(name, globals=None, locals=None, fromlist=(), level=0):
    """`__import__` of own modules."""
    full = absolute(name, globals, level)
    module = find(full)
    if module is None:
        if level:
            raise missing(full)
        found = host_builtins.__import__(name, globals, locals, fromlist, 0)
        return found if fromlist else table.get(name.partition(".")[0], found)
    if fromlist:
        import_from(module, full, fromlist)
        return table[full]
    return table[full.partition(".")[0]]


def import_module(name, package=None):
    """importlib.import_module, as own modules see it."""
    if name.startswith("."):
        if not package:
            raise TypeError(f"the package argument is required for a relative import of {name!r}")
        name = util.resolve_name(name, package)
    module = find(name)
    return importlib.import_module(name) if module is None else module


def rank_print(*values, sep=" ", end="\n", file=None, flush=False):
    """print: to the rank's log unless a file is given."""
    file = table["sys"].stdout if file is None else file
    if file is not None:
        host_builtins.print(*values, sep=sep, end=end, file=file, flush=flush)


def open_table(script_module):
    """Fills the table and the builtins: (table, builtins)."""
    inside = types.ModuleType("isoexec", "What `import isoexec` gives inside a rank.")
    inside.rank = number
    inside.log = log
    inside.DeadlineExceeded = script_module.DeadlineExceeded
    inside.__all__ = ["DeadlineExceeded", "log", "rank"]
    streams = {
        name: LogStream(descriptor, f"<{name.strip('_')}>")
        for descriptor, name in ((1, "stdout"), (2, "stderr"))
    }
    streams |= {f"__{name}__": stream for name, stream in streams.items()}
    modules = collections.ChainMap(table, sys.modules)
    table.update(
        OpenSIPS=script_module,
        isoexec=inside,
        sys=View(sys, modules=modules, stdin=None, __stdin__=None, **streams),
        importlib=View(importlib, import_module=import_module, __import__=rank_import),
    )
    names = {**vars(host_builtins), "__import__": rank_import, "print": rank_print}
    look_globals["__builtins__"] = names
    return table, names


def attach(modules):
    """From now on own modules can be loaded."""
    global own
    own = modules
    own.import_module = import_module
    own.forget = foreign.clear
    # The exit functions run when the rank ends, not when the host does.
    own.exits._register = own.exits._unregister = lambda row: None
    import atexit

    table["atexit"] = View(
        atexit,
        register=own.exits.register,
        unregister=own.exits.unregister,
        _run_exitfuncs=run_exit_functions,
        _ncallbacks=lambda: len(own.exits.rows),
    )


def run_exit_functions():
    if own is not None:
        own.exits.run(list(own.exits.rows))


def stop_threads(grace):
    """Waits up to `grace` seconds for threads of own code; gives the names of those that go on.

    They live in the host's interpreter: the rank can end without them.
    """
    end = time.monotonic() + grace
    for thread in own.threads() if own is not None else ():
        if not thread.daemon:
            thread.join(max(0.0, end - time.monotonic()))
    return [thread.name for thread in own.threads()] if own is not None else []
