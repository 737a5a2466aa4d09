"""isoexec: run SIP handler scripts in parallel, one own-GIL interpreter per proxy worker.

In a Python program this gives :class:`Engine`, :class:`AsyncEngine` and what belongs to them.
Inside a rank, where a handler script may import it too, it gives only ``rank``, the number of the
rank, ``log(level, text)``, and ``DeadlineExceeded``.
Importing it starts nothing.
"""

import sys as _sys
from typing import TYPE_CHECKING

if not TYPE_CHECKING and "_isoexec_rank" in _sys.modules:
    from _isoexec_rank import DeadlineExceeded, log
    from _isoexec_rank import number as rank

    __all__ = ["DeadlineExceeded", "log", "rank"]
else:
    try:
        from isoexec import _native
    except ImportError:
        from importlib.util import find_spec as _find_spec

        if _find_spec("isoexec._native") is not None:
            raise
        raise ImportError(
            f"{__path__[0]} has no compiled part: it is the source checkout and hides the "
            "installed package, so run from another folder, or use the programs of the venv"
        ) from None
    from isoexec import errors
    from isoexec._native import Call, Edit, Rank, Result, Task
    from isoexec.engine import Engine, RankStats
    from isoexec.paths import get_include, get_library_dir
    from isoexec.settings import RankSettings, Settings

    __version__: str = _native.version()

    if TYPE_CHECKING:
        from isoexec.aio import AsyncEngine
        from isoexec.OpenSIPS import DeadlineExceeded as DeadlineExceeded  # inside a rank only
        from isoexec.OpenSIPS import SIPMsg, SIPReply, SIPRequest

        # Of the view inside a rank.
        rank: int

        def log(level: int, text: str) -> None:
            """Writes one text to the host's log. `level` is one of OpenSIPS' numbers, -3 to 4."""
    else:
        SIPMsg = _native.script_module().SIPMsg
        SIPRequest = _native.script_module().SIPRequest
        SIPReply = _native.script_module().SIPReply

        def __getattr__(name):
            if name != "AsyncEngine":
                raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
            from isoexec.aio import AsyncEngine  # here: anyio takes longer to import than all else

            globals()[name] = AsyncEngine
            return AsyncEngine

    __all__ = [
        "AsyncEngine",
        "Call",
        "Edit",
        "Engine",
        "Rank",
        "RankSettings",
        "RankStats",
        "Result",
        "SIPMsg",
        "SIPReply",
        "SIPRequest",
        "Settings",
        "Task",
        "__version__",
        "errors",
        "get_include",
        "get_library_dir",
    ]
