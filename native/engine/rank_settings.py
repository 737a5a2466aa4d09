"""Settings that act inside a rank's own interpreter, in force before the script is loaded.

Compiled into libisoexec and run after rank_rules.py, whose names it finds (`number`, `settings`,
`log`, `patch`). docs/settings.md says what each setting means.
"""

import builtins
import functools
import importlib
import os
import posix
import sys
from importlib import util

settings: dict
log: object
patch: object

LM_WARN, LM_NOTICE = 1, 2

# ---- environment


class OwnEnviron(os._Environ):
    """os.environ that is only this interpreter's.

    putenv changes the environment of the whole process, for every rank and the host, while other
    threads may read it, which POSIX does not allow.
    """

    def __setitem__(self, key, value):
        putenv(self.encodekey(key), self.encodevalue(value))

    def __delitem__(self, key):
        name = self.encodekey(key)
        if name not in self._data:
            raise KeyError(key)
        unsetenv(name)


def putenv(name, value, /):
    """Changes os.environ of this rank, which the processes that it starts get."""
    name, value = os.fsencode(name), os.fsencode(value)
    if not name or b"=" in name:
        raise ValueError("illegal environment variable name")
    if b"\0" in name + value:
        raise ValueError("embedded null byte")
    os.environ._data[name] = value


def unsetenv(name, /):
    """Takes a name out of os.environ of this rank."""
    os.environ._data.pop(os.fsencode(name), None)


def system(command, /):
    """Runs a command in a shell and gives its wait status; the shell gets os.environ."""
    child = os.posix_spawn("/bin/sh", ("sh", "-c", command), os.environ)
    return os.waitpid(child, 0)[1]


def patch_subprocess(module):
    """Without `env` a child would get the environment of the process, not that of the rank."""
    init = module.Popen.__init__
    before_env = 10  # parameters of Popen that come before env, `args` the first

    @functools.wraps(init)
    def __init__(self, *args, **keywords):
        if len(args) > before_env and args[before_env] is None:
            args = (*args[:before_env], os.environ, *args[before_env + 1 :])
        elif len(args) <= before_env and keywords.get("env") is None:
            keywords["env"] = os.environ
        init(self, *args, **keywords)

    module.Popen.__init__ = __init__


def detach_environment():
    for own in (os.environ, os.environb):
        own.__class__ = OwnEnviron
    for module in (os, posix):
        module.putenv, module.unsetenv, module.system = putenv, unsetenv, system
    patch("subprocess", patch_subprocess)
    reload_environ = getattr(os, "reload_environ", None)  # CPython 3.14
    if reload_environ is not None:

        @functools.wraps(reload_environ)
        def reload_own():
            reload_environ()
            fill_environment()

        os.reload_environ = reload_own


def fill_environment():
    for item in settings["environment"] or ():
        name, _, value = item.partition("=")
        os.environ[name] = value


# ---- imports


def put_folders(folders):
    for path in folders:
        if not os.path.isdir(path):
            log(LM_WARN, f"there is no folder {path} (setting sys_path)")
    sys.path[0:0] = map(os.path.abspath, folders)


class ImportRules:
    """What the script's own modules may import: a rule for their authors, no wall around them.

    Only an import that own code asks for is looked at, so modules that are allowed work whatever
    they need themselves. Code without a file counts as that which runs it.
    """

    always = frozenset(("OpenSIPS", "isoexec", "__future__"))

    def __init__(self, own, allow, deny):
        self.is_own_file = own.is_own_file  # own_modules.py says what is own
        self.allow = None if allow is None else frozenset(allow)
        self.deny = frozenset(deny)
        self.told = set()

    def is_own_module(self, name):
        module = sys.modules.get(name)
        spec = getattr(module, "__spec__", None) if module is not None else util.find_spec(name)
        places = getattr(spec, "submodule_search_locations", None) or ()
        return any(self.is_own_file(path) for path in (getattr(spec, "origin", None), *places))

    def asked_by_script(self, names, frame):
        file = names.get("__file__") if names else None
        while file is None and frame is not None:
            file = frame.f_globals.get("__file__")
            frame = frame.f_back
        return self.is_own_file(file)

    def fault(self, name):
        """The setting that does not let the script import this module, or None."""
        parts = name.split(".")
        parents = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
        if parents & self.deny:
            return "deny_imports"
        if self.allow is None or parents & self.allow or parts[0] in self.always:
            return None
        return None if self.is_own_module(parts[0]) else "allow_imports"

    def check(self, name, wanted):
        """`from name import wanted`; each of `wanted` may be a module or any other name."""
        setting = self.fault(name)
        inner = [self.fault(f"{name}.{item}") for item in wanted or ()]
        if "deny_imports" in inner:
            setting = "deny_imports"
        elif setting == "allow_imports" and inner and not any(inner):
            setting = None  # of a package only modules inside it are allowed, and these are they
        if setting is None:
            return
        names_it = "names it" if setting == "deny_imports" else "does not name it"
        text = f"the script may not import {name}: the setting {setting} {names_it}"
        if name not in self.told:  # a script may go on without, and say nothing
            self.told.add(name)
            log(LM_NOTICE, text)
        raise ImportError(text, name=name)

    def install(self):
        import_module = importlib.import_module

        def checked(load):
            @functools.wraps(load)
            def checked_import(name, globals=None, locals=None, fromlist=(), level=0):
                # A list comes from PyImport_Import: C code that imports for itself (strptime), and
                # says that the code which called it asked.
                by_statement = level == 0 and type(fromlist) is not list
                if by_statement and self.asked_by_script(globals, sys._getframe(1)):
                    self.check(name, fromlist)
                return load(name, globals, locals, fromlist, level)

            return checked_import

        @functools.wraps(import_module)
        def checked_import_module(name, package=None):
            if not name.startswith(".") and self.asked_by_script(None, sys._getframe(1)):
                self.check(name, ())
            return import_module(name, package)

        builtins.__import__ = checked(builtins.__import__)
        importlib.__import__ = checked(importlib.__import__)
        importlib.import_module = checked_import_module


def install_settings():
    if not settings["process"]:  # which has it from its start
        detach_environment()
        fill_environment()
    put_folders(settings["sys_path"] or ())


def guard_imports(own):
    """Before the script is loaded; `own` is the rank's OwnModules."""
    allow, deny = settings["allow_imports"], settings["deny_imports"]
    if allow is not None or deny:
        ImportRules(own, allow, deny or ()).install()
