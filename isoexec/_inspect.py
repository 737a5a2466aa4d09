"""The script that ``isoexec check`` runs in a rank around the user's script.

It is copied into a folder of its own, beside a JSON file that says what to do, and loaded like any
handler script, so only the standard library is there. It notes imports that are refused, also where
the script survives them, and how each method may be called.
"""

import builtins
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import Any

with open(os.path.splitext(os.path.abspath(__file__))[0] + ".json", encoding="utf-8") as file:
    TASK = json.load(file)

findings: list[dict[str, str]] = []
methods: list[dict[str, str]] = []


def note(kind: str, text: str) -> None:
    row = {"kind": kind, "text": text}
    if row not in findings:
        findings.append(row)


def watch_imports() -> None:
    """Notes extension modules that are there and can not be loaded.

    Modules that are missing are the script's affair. What the standard library tries and does
    without is left out (datetime without _datetime), unless the script gets the error.
    """

    def watch(load: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            try:
                return load(*args, **kwargs)
            except ModuleNotFoundError:
                raise
            except ImportError as error:
                importer = sys._getframe(1).f_globals.get("__name__", "").partition(".")[0]
                if is_refusal(error) and importer not in sys.stdlib_module_names:
                    note("refused", str(error))
                raise

        return watched

    for owner, name in ((builtins, "__import__"), (importlib, "import_module")):
        setattr(owner, name, watch(getattr(owner, name)))


def is_refusal(error: ImportError) -> bool:
    """``from module import name`` fails with the path of a source file: that is none."""
    path = getattr(error, "path", None) or ""
    return error.name is not None and not path.endswith((".py", ".pyc"))


def accepts(method: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(method).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:
        return True  # a builtin that does not say
    return True


def look_at(handler: object, name: str, wanted: bool) -> None:
    try:
        method = getattr(handler, name)
    except AttributeError:
        note("missing", f"the handler object has no method {name}")
        return
    if not callable(method):
        if wanted:
            note("missing", f"{name} of the handler object can not be called")
        return
    try:
        signature = str(inspect.signature(method))
    except (TypeError, ValueError):
        signature = "(...)"
    methods.append({"name": name, "signature": signature})
    if inspect.iscoroutinefunction(method):
        note("signature", f"{name} is async: it returns no int")
    elif not accepts(method, 1) and not accepts(method, 2):
        note("signature", f"{name}{signature} takes neither (msg) nor (msg, extra)")


def inspect_handler(handler: object) -> None:
    name = TASK["child_init"]
    child_init = getattr(handler, name, None)
    if not callable(child_init):
        note("missing", f"the handler object has no method {name}(rank)")
    elif not accepts(child_init, 1):
        note("signature", f"{name}{inspect.signature(child_init)} does not take (rank)")
    wanted = TASK["methods"]
    public = [n for n in dir(handler) if not n.startswith("_") and n != name]
    for method in wanted or public:
        look_at(handler, method, bool(wanted))


def run() -> None:
    watch_imports()
    folder, file_name = os.path.split(TASK["script"])
    sys.path[0] = folder
    module = importlib.import_module(file_name.rpartition(".")[0])
    mod_init = getattr(module, TASK["mod_init"], None)
    if not callable(mod_init):
        note("missing", f"the script has no function {TASK['mod_init']}()")
        return
    handler = mod_init()
    if handler is None:
        note("missing", f"{TASK['mod_init']}() returned None, not a handler object")
        return
    inspect_handler(handler)


class Nothing:
    def child_init(self, rank: int) -> int:
        return 0


def mod_init() -> Nothing:
    try:
        run()
    except BaseException as error:  # the other child reports why the script does not start
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    with open(TASK["out"], "w", encoding="utf-8") as out:
        json.dump({"findings": findings, "methods": methods}, out)
    return Nothing()
