"""The script and its own modules: loaded from source, replaced as a whole by a reload.

Own is what lies in the script's folder or below, but for the standard library, packages that are
installed there, and extension modules, which load once. Compiled into libisoexec; load.c puts in
`log(level, text)` and `format_exception(error)`, makes one OwnModules for each rank, and calls
`load`; reload.c calls `begin`, `load`, `load_late` and at last `finish` or `undo`.

`table` is where the rank's modules are: sys.modules of its own interpreter, or a dict of the rank
where ranks share one. In the latter case nothing here but `table`, the lists of sys and the caches
of importlib is touched: whoever owns the table's import function calls `find_spec` and `execute`,
and sets `import_module` and `forget`.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import linecache
import os
import sys
import threading
import time
import types
from importlib import machinery, util

log: object
format_exception: object

LM_WARN, LM_ERR = 1, -1

INSTALLED = frozenset(("site-packages", "dist-packages"))


class FromSource(machinery.SourceFileLoader):
    """Compiles the file each time. A .pyc counts as fresh if second and size of its source are the
    same, so it may hold what was there before the last edit."""

    def get_code(self, fullname):
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def names_of(module):
    """The globals of a module, without waking one that loads itself when it is first asked."""
    try:
        return object.__getattribute__(module, "__dict__")
    except AttributeError:
        return {}


def globals_of(thing):
    """The globals of the code that runs when `thing` is called, as far as it can be told."""
    left, seen = [thing], {}
    while left:
        thing = left.pop()
        if id(thing) in seen:
            continue
        seen[id(thing)] = thing  # kept, so that no other gets its id
        if isinstance(thing, types.FunctionType):
            yield thing.__globals__
            left.append(thing.__dict__.get("__wrapped__"))
        elif isinstance(thing, functools.partial):
            left.append(thing.func)
        elif isinstance(thing, types.MethodType):
            left += (thing.__func__, thing.__self__)
        elif isinstance(thing, types.BuiltinMethodType):
            left.append(thing.__self__)
        elif isinstance(thing, (classmethod, staticmethod, functools._lru_cache_wrapper)):
            left.append(thing.__wrapped__)
        elif isinstance(thing, type):
            kinds = (types.FunctionType, classmethod, staticmethod)
            left += (value for value in vars(thing).values() if isinstance(value, kinds))
        else:
            left.append(type(thing))


class ExitFunction:
    """One registration with atexit."""

    __slots__ = ("arguments", "asked_by", "function", "keywords", "path")

    def __init__(self, function, arguments, keywords, asked_by):
        self.function, self.arguments, self.keywords = function, arguments, keywords
        # The globals of the code that registered it, which the row must not keep.
        self.asked_by, self.path = id(asked_by), asked_by.get("__file__")

    def __call__(self):
        self.function(*self.arguments, **self.keywords)


class ExitFunctions:
    """What was registered with atexit, which does not tell."""

    def __init__(self):
        self.rows = []
        self._register, self._unregister = atexit.register, atexit.unregister

    def install(self):
        """From now on atexit's functions go through here. Its order and end stay as they are."""
        for function in (self.register, self.unregister):
            setattr(atexit, function.__name__, function)

    def register(self, func, /, *args, **kwargs):
        """Registers a function that runs when the rank ends, or when a reload replaces it."""
        if not callable(func):
            raise TypeError("the first argument must be callable")
        row = ExitFunction(func, args, kwargs, sys._getframe(1).f_globals)
        self._register(row)
        self.rows.append(row)
        return func

    def unregister(self, func, /):
        """Takes back every registration of the function."""
        for row in [row for row in self.rows if row.function == func]:
            self.drop(row)
        self._unregister(func)  # what was registered before install()

    def drop(self, row):
        self._unregister(row)
        self.rows = [other for other in self.rows if other is not row]

    def run(self, rows):
        """Runs the last one first, each once; what they raise is logged."""
        for row in reversed(rows):
            if not any(row is other for other in self.rows):
                continue  # taken back by another one
            self.drop(row)
            try:
                row()
            except BaseException as error:
                log(LM_ERR, f"an exit function of the script raised:\n{format_exception(error)}")


class OwnModules:
    """Finds, loads and replaces the script and its own modules in a table of modules.

    :param builtins: what own modules get as `__builtins__`; None: the interpreter's.
    """

    def __init__(self, path, name, folder, table, builtins=None):
        # One named like a module of the standard library must not hide it from others.
        self.hides = name in sys.stdlib_module_names
        self.name = f"script_{name}" if self.hides else name
        self.path, self.folder, self.table, self.builtins = path, folder, table, builtins
        self.roots = tuple(os.path.join(root, "") for root in {folder, os.path.realpath(folder)})
        self.standard = os.path.join(os.path.dirname(os.__file__), "")
        self.exits = ExitFunctions()
        self.compiled = set()  # names of own modules that were imported
        self.import_module = importlib.import_module
        self.forget = lambda: None  # at each reload

    def install(self):
        """For an interpreter that is the rank's alone: imports and atexit go through here."""
        if self.hides:
            sys.path.append(self.folder)
        else:
            sys.path.insert(0, self.folder)
        finders = sys.meta_path
        place = finders.index(machinery.PathFinder) if machinery.PathFinder in finders else None
        finders.insert(len(finders) if place is None else place, self)
        self.exits.install()

    def begin(self):
        return Reload(self)

    # ---- what is own

    def is_own_file(self, path):
        if path == self.path:
            return True
        return (
            isinstance(path, str)
            and path.startswith(self.roots)
            and not path.startswith(self.standard)
            and not path.endswith(tuple(machinery.EXTENSION_SUFFIXES))
            and INSTALLED.isdisjoint(path.split(os.sep))
        )

    def is_own(self, name, module):
        """Whether a reload replaces what the table holds under a name: a module, or what an own
        module put in its place."""
        names = names_of(module)
        path = names.get("__file__")
        if path is not None:
            return self.is_own_file(path)
        if isinstance(module, types.ModuleType):  # a namespace package
            places = list(names.get("__path__") or ())
            return bool(places) and all(map(self.is_own_file, places))
        return name in self.compiled or self.is_own_code(module)

    def is_own_code(self, thing):
        """Whether a call of it runs code of own modules.

        Ranks that share an interpreter may have modules of the same files: their builtins differ.
        """
        return any(
            self.is_own_file(names.get("__file__"))
            and (self.builtins is None or names.get("__builtins__") is self.builtins)
            for names in globals_of(thing)
        )

    def threads(self):
        """Threads that run own code, as far as threading knows."""
        me = threading.get_ident()
        return [
            thread
            for thread in threading.enumerate()
            if thread.ident != me
            and any(
                self.is_own_code(part)
                for part in (
                    type(thread),
                    getattr(thread, "_target", None),
                    getattr(thread, "function", None),  # of a Timer
                )
            )
        ]

    # ---- loading

    def find_spec(self, name, path=None, target=None):
        """A finder of sys.meta_path: PathFinder's answer, but own source is compiled afresh."""
        if self.builtins is not None:
            spec = self.find_shared(name, path)
        else:
            spec = machinery.PathFinder.find_spec(name, path, target)
        if (
            spec is not None
            and type(spec.loader) is machinery.SourceFileLoader
            and self.is_own_file(spec.origin)
        ):
            spec.loader = FromSource(spec.loader.name, spec.loader.path)
            self.compiled.add(name)
        return spec

    def find_shared(self, name, path):
        """PathFinder's answer. Its namespace packages ask sys.modules for the package they are in,
        which the table has: here they have the folders that are there now."""
        spec = machinery.PathFinder.find_spec(name.rpartition(".")[2], path)
        if spec is None or spec.loader is not None:
            return machinery.PathFinder.find_spec(name, path)
        places = list(spec.submodule_search_locations)
        spec = machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = places
        return spec

    def execute(self, spec, builtins=None):
        """Makes a module, puts it into the table and runs it; takes it out again if that fails."""
        module = util.module_from_spec(spec)
        builtins = builtins or self.builtins
        if builtins is not None:
            module.__dict__["__builtins__"] = builtins
        self.table[spec.name] = module
        try:
            if spec.loader is not None:  # else a namespace package
                spec.loader.exec_module(module)
        except BaseException:
            self.table.pop(spec.name, None)
            raise
        return module

    def load(self):
        """Loads the script by its path: one named like a loaded module is still the script."""
        loader = FromSource(self.name, self.path) if self.path.endswith(".py") else None
        spec = util.spec_from_file_location(self.name, self.path, loader=loader)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self.path} is no Python script", name=self.name, path=self.path)
        return self.execute(spec)


class Reload:
    """One reload: the old modules stand aside until `finish` lets go of them or `undo` brings them
    back."""

    def __init__(self, own):
        self.own = own
        self.before = dict(own.table)
        self.old = {
            name: module for name, module in self.before.items() if own.is_own(name, module)
        }
        self.sys = own.table["sys"]
        names = ("path", "meta_path", "path_hooks")
        self.lists = [(name, getattr(self.sys, name)) for name in names]
        self.contents = [held[:] for _, held in self.lists]
        self.path = self.sys.path[:]
        self.registered = own.exits.rows[:]
        self.exits = [row for row in self.registered if own.is_own_code(row.function)]
        self.threads = own.threads()
        forget_files(self.old.values())
        own.forget()
        self.links = [self.unlink(name, module) for name, module in self.old.items()]
        for name in self.old:
            del own.table[name]

    def unlink(self, name, module):
        """A package that stays must not answer with a module that goes. What undoes it."""
        package, _, child = name.rpartition(".")
        names = {} if package in self.old else names_of(self.before.get(package))
        if names.get(child) is not module:
            return {}, child, module
        del names[child]
        return names, child, module

    def load_late(self):
        """Loads what the old code imported later, in its methods, so that a fault in it shows now.

        What is not there any more is left to the import, if there is one still.
        """
        table, top = self.own.table, [self.own.folder, *sys.path]
        for name in self.old:
            package, _, child = name.rpartition(".")
            if name in table or (package and package not in table):
                continue
            places = names_of(table[package]).get("__path__") if package else top
            if places is not None and self.own.find_spec(name, places) is not None:
                self.own.import_module(name)

    def undo(self):
        """Everything as it was. A library that the failed code loaded stays: it is loaded once."""
        own, table = self.own, self.own.table
        new = [
            (name, module)
            for name, module in table.items()
            if self.before.get(name) is not module
            and (own.is_own(name, module) or self.is_made_by_hand(name, module))
        ]
        for name, module in new:
            del table[name]
            self.unlink(name, module)
        table.update(self.before)
        for names, child, module in self.links:
            names[child] = module
        for (name, held), was in zip(self.lists, self.contents, strict=True):
            held[:] = was + self.added_by_others(held, was)
            if getattr(self.sys, name) is not held:
                setattr(self.sys, name, held)
        self.drop_places()
        for row in own.exits.rows[:]:
            if not any(row is other for other in self.registered) and self.is_of_failed(row):
                own.exits.drop(row)
        self.let_go()

    def drop_places(self):
        """Each load adds the same folders again, where they find nothing."""
        path = self.sys.path
        for place in set(path):
            while path.count(place) > max(1, self.path.count(place)):
                del path[len(path) - 1 - path[::-1].index(place)]

    @staticmethod
    def is_made_by_hand(name, module):
        """Put there by the code that failed. Libraries do it too, inside their package (six)."""
        return "." not in name and names_of(module).get("__spec__") is None

    def added_by_others(self, held, was):
        """Finders and hooks of libraries that the failed code loaded, and that stay. Paths only
        where they may be the host's: in an interpreter that the rank shares with it."""
        shared = self.own.builtins is not None
        new = [item for item in held if not any(item is old for old in was)]
        return [
            item
            for item in new
            if (shared if isinstance(item, str) else not self.own.is_own_code(item))
        ]

    def is_of_failed(self, row):
        """Whether the code that failed registered it, not a thread of the old one."""
        old = {id(names_of(module)) for module in self.old.values()}
        if row.asked_by not in old and self.own.is_own_file(row.path):
            return True
        return self.own.is_own_code(row.function) and not any(
            id(names) in old for names in globals_of(row.function)
        )

    def finish(self, grace):
        """The new code serves: ends what the old code left. `grace` in seconds."""
        threads = [thread for thread in self.threads if thread.is_alive()]
        self.own.exits.run(self.exits)
        self.drop_places()
        self.let_go()
        for forget in getattr(sys.modules.get("typing"), "_cleanups", ()):
            forget()  # Optional[X] and its like keep X
        if gc.isenabled():
            gc.collect()  # connections of the old code end now, and memory does not grow
        if threads:
            watch(threads, grace, self.own.builtins is not None)

    def let_go(self):
        self.before = self.old = self.links = None
        self.registered = self.exits = self.threads = None


def forget_files(modules):
    """No cache may answer with what a file or a folder held before."""
    for module in modules:
        names = names_of(module)
        linecache.cache.pop(names.get("__file__"), None)
        if type(names.get("__loader__")) is machinery.SourceFileLoader:
            with contextlib.suppress(OSError):  # the .pyc of one that was loaded by its path
                os.unlink(util.cache_from_source(names["__file__"]))
    for place, finder in list(sys.path_importer_cache.items()):
        if hasattr(finder, "invalidate_caches"):
            finder.invalidate_caches()
        elif finder is None:  # there was no such folder
            del sys.path_importer_cache[place]


def watch(threads, grace, daemon):
    """Names in the log those that live on after the grace time; calls go on meanwhile."""

    def run():
        end = time.monotonic() + grace
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        names = ", ".join(thread.name for thread in threads if thread.is_alive())
        if names:
            log(
                LM_WARN,
                f"reload: threads of the old code go on after {grace:g} s (setting grace): "
                f"{names}. End them in child_exit",
            )

    threading.Thread(target=run, name="isoexec-reload", daemon=daemon).start()
