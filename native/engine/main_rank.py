"""A rank with isolation main: own modules that share the host's interpreter and are kept apart.

Compiled into libisoexec and run after main_library.py, whose names it finds, as those of
rank_rules.py (`number`, `log`, `look_globals`, `look_tables`). The rank's modules are in `table`,
not in sys.modules. Their `__builtins__` is a dict of the rank, whose `__import__` looks into the
table first and whose print writes to the rank's log. Nothing of the host's interpreter is replaced.
What libraries of site-packages import is the host's; docs/isolation.md says what that means.
"""

import builtins as host_builtins
import importlib
import sys
import time
import types
from importlib import _bootstrap, util

own = None  # the rank's OwnModules
foreign = set()  # names that the host's import has found


def missing(name):
    return ModuleNotFoundError(f"No module named {name!r}", name=name)


def lock_name(name):
    """For importlib's locks, which notice a deadlock of two imports in a circle. The names of two
    ranks differ."""
    return f"{name} of isoexec's table {id(table)}"


def place(name):
    """What `import a.b as c` expects of a: b, also while b still loads."""
    package, _, child = name.rpartition(".")
    parent = table.get(package)
    if parent is not None and not isinstance(parent, View) and not hasattr(parent, child):
        setattr(parent, child, table[name])


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


def load(name):
    """Under the lock of the name: into the table, unless the module is the host's."""
    if name in table:
        return
    if name in MADE:
        table[name] = MADE[name]()
        return
    spec = find_spec(name)
    if spec is None or name in table:  # a package may load its module while it is asked for
        return
    spec._initializing = True  # others wait, and errors say "partially initialized"
    try:
        module = own.execute(spec, without(*COPIED[name]) if COPIED.get(name) else None)
    finally:
        spec._initializing = False
    place(name)
    if name in COPIED:
        patch_copy(module)


def find(name):
    """The module of the rank of this name, loaded if need be; None: it is the host's."""
    if name in foreign:
        return None
    module = table.get(name)
    if module is None:
        if name in table:
            raise missing(name)
        with _bootstrap._ModuleLockManager(lock_name(name)):
            load(name)
        return table.get(name)
    if getattr(getattr(module, "__spec__", None), "_initializing", False):
        _bootstrap._lock_unlock_module(lock_name(name))  # another thread loads it
    return module


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
        try:
            if find(child) is not None:
                place(child)
        except ModuleNotFoundError as error:
            if error.name != child:
                raise


def host_import(name, *rest):
    found = host_builtins.__import__(name, *rest)
    foreign.add(name)  # found, not only asked for: a file may be there later
    return found


def rank_import(name, globals=None, locals=None, fromlist=(), level=0):
    """`__import__` of own modules."""
    full = absolute(name, globals, level)
    if full == "os" and (globals or {}).get("__name__") == "logging":
        return os_without_fork_hooks()
    module = find(full)
    top = full.partition(".")[0]
    if module is None:
        if level:
            raise missing(full)
        found = host_import(name, globals, locals, fromlist, 0)
        return found if fromlist else table.get(top, found)
    if fromlist:
        import_from(module, full, fromlist)
        return table[full]
    while "." in full:
        place(full)
        full = full.rpartition(".")[0]
    return table[top]


def import_module(name, package=None):
    """importlib.import_module, as own modules see it."""
    if name.startswith("."):
        if not package:
            raise TypeError(f"the package argument is required for a relative import of {name!r}")
        name = util.resolve_name(name, package)
    module = find(name)
    if module is not None:
        return module
    module = importlib.import_module(name)
    foreign.add(name)
    return module


def open_table(script_module):
    """Fills the table and the builtins: (table, builtins)."""
    inside = types.ModuleType("isoexec", "What `import isoexec` gives inside a rank.")
    inside.rank = number
    inside.log = log
    inside.DeadlineExceeded = script_module.DeadlineExceeded
    inside.__all__ = ["DeadlineExceeded", "log", "rank"]
    table.update(
        OpenSIPS=script_module,
        isoexec=inside,
        builtins=make_builtins(rank_import),
        sys=make_sys(),
        importlib=View(importlib, import_module=import_module, __import__=rank_import),
    )
    look_globals["__builtins__"] = vars(table["builtins"])
    look_tables["modules"] = table["sys"].modules
    return table, vars(table["builtins"])


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
