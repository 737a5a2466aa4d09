"""Where the C library and its header are, and how a C host is built against them.

All answers are computed: from the library that is loaded, and from ``sysconfig`` of the running
Python. pkg-config is never asked, since a pyenv Python has no embed file on its path.
"""

import os
import sys
import sysconfig
from pathlib import Path

from isoexec import _native
from isoexec.errors import EngineError

__all__ = ["cflags", "get_include", "get_library_dir", "ldflags", "libs"]


def get_library_dir() -> str:
    """The folder of ``libisoexec.so``: in the package, or the build folder if editable."""
    return str(Path(_native.loaded_path()).resolve().parent)


def get_include() -> str:
    """The folder of ``isoexec.h``: in the package, or the source folder if editable.

    :raises EngineError: the header is not there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "include", package.parent / "native" / "include"):
        if (folder / "isoexec.h").is_file():
            return str(folder)
    raise EngineError(f"isoexec.h is missing beside {package}; install isoexec again")


def _variable(name: str) -> str:
    return str(sysconfig.get_config_var(name) or "")


def cflags() -> list[str]:
    """Compiler flags for a host: the header of isoexec, and those of Python."""
    return [f"-I{get_include()}", f"-I{_variable('INCLUDEPY') or sysconfig.get_path('include')}"]


def ldflags() -> list[str]:
    """Linker flags without the libraries: search paths, at build and at run time."""
    flags = []
    for folder in (get_library_dir(), _python_library_dir()):
        flags += [f"-L{folder}", f"-Wl,-rpath,{folder}"]
    return flags


def libs() -> list[str]:
    """Linker flags for a host: search paths and libraries. They go after the source files.

    :raises EngineError: this Python has no shared library to link against.
    """
    # libisoexec leaves the symbols of Python to its host: --as-needed must not drop libpython.
    python = f"-lpython{_variable('LDVERSION') or sysconfig.get_python_version()}"
    return [*ldflags(), "-lisoexec", "-Wl,--no-as-needed", python, "-Wl,--as-needed", "-pthread"]


def _python_library_dir() -> str:
    """The folder of the shared libpython.

    :raises EngineError: this Python was built without one, or its development file is missing.
    """
    library = f"libpython{_variable('LDVERSION') or sysconfig.get_python_version()}.so"
    folder = _variable("LIBDIR")
    for candidate in (
        Path(sys.base_prefix) / "lib",
        Path(folder),
        Path(folder) / _variable("MULTIARCH"),
    ):
        if candidate.is_dir() and (candidate / library).exists():
            return os.path.realpath(candidate)
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        raise EngineError(
            f"the Python in {sys.base_prefix} was built without a shared library; "
            "a C host needs one (configure --enable-shared)"
        )
    raise EngineError(
        f"{library} was not found under {folder}; install the development package of this Python "
        f"(on Debian: apt-get install libpython{sysconfig.get_python_version()}-dev)"
    )
