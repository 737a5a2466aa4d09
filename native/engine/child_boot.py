"""What the Python of a process rank runs: it loads libisoexec, which does the rest.

Arguments: the path of libisoexec, the minor version it is built for. Written for any Python 3, as
the setting python_executable may name an old one.
"""

import sys


def boot():
    library, wanted = sys.argv[1:3]
    version = ".".join(map(str, sys.version_info[:2]))
    version += "t" if "t" in getattr(sys, "abiflags", "") else ""  # without a GIL
    if version != wanted:
        text = "{} is Python {}, and this libisoexec is built for {}: set python_executable to one"
        sys.exit(text.format(sys.executable, version, wanted))
    sys.argv[:] = [""]
    sys.path[:] = [
        entry for entry in sys.path if entry
    ]  # "" is the folder where the host was started
    import _imp
    import faulthandler
    from importlib.machinery import ModuleSpec

    faulthandler.enable(file=2)
    spec = ModuleSpec("_isoexec_child", None, origin=library)
    return _imp.create_dynamic(spec).serve()


boot()
