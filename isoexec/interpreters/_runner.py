"""The part of isoexec.interpreters that runs inside each interpreter it makes.

Never imported: its code is carried over and becomes the module ``_isoexec_runner`` there, since an
interpreter cannot import isoexec, which has an extension module of the main interpreter.
"""

import sys
from typing import Any

FAKE_MAIN = "<fake __main__>"  # the name that CPython 3.14 gives it

_main_names: Any = None  # what the maker's script defines, once it was run here
_unpickler_class: Any = None


def set_up(path: list[str], blocked: list[str], absent: list[str]) -> None:
    """First thing in a new interpreter: the import path of its maker, and the rules of 3.12."""
    sys.path[:] = path
    for name in absent:
        sys.modules[name] = _stand_in(name)
    for name in blocked:
        sys.modules[name] = None  # type: ignore[assignment]
    if sys.version_info < (3, 12, 5):
        # Built-in types get wrong slots here, so str(HTTPStatus.OK) is its repr (gh-117482).
        import enum

        number: Any = int.__repr__
        enum.IntEnum.__str__ = enum.IntFlag.__str__ = number  # type: ignore[method-assign]


def _stand_in(module_name: str) -> Any:
    """For a module of isoexec, which cannot run here: a script that imports it must load."""
    import types

    def refuse(self: object, *args: object, **kwargs: object) -> None:
        raise RuntimeError(f"{module_name} cannot be used inside an interpreter that it made")

    def stand_in(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{module_name}.{name}") or type(
            name, (Exception,), {"__init__": refuse}
        )

    module: Any = types.ModuleType(module_name)
    module.__path__ = []
    module.__getattr__ = stand_in
    return module


def finish() -> None:
    """Last thing: waits for the threads, as the end would, but without the lock of the maker."""
    threading: Any = sys.modules.get("threading")
    if threading is None:
        return
    me = threading.get_ident()
    if sys.version_info < (3, 13):
        # threading._shutdown waits for ever if another thread than this imported threading.
        threading._main_thread._ident = me
    callbacks, threading._threading_atexits[:] = threading._threading_atexits[::-1], []
    for callback in callbacks:  # wakes and joins the workers of executors
        callback()
    while others := [
        thread
        for thread in threading.enumerate()
        if thread.ident != me and not thread.daemon and thread is not threading.main_thread()
    ]:
        others[0].join()


def run(payload: bytes) -> bytes:
    """Does what `payload` asks for. Both ways only bytes cross; pack and unpack are in _calls."""
    import marshal
    import pickle

    kind, what, arguments, main_file = marshal.loads(payload)
    try:
        try:
            function = _function(kind, what, main_file)
            args, kwargs = _loads(arguments, main_file)
        except BaseException as error:
            return marshal.dumps(
                ("not shareable", f"it cannot be loaded in the interpreter: {_line(error)}")
            )
        result = function(*args, **kwargs)
    except BaseException as error:
        return marshal.dumps(("raised", type(error).__name__, _text(error), _traceback(error)))
    try:
        return marshal.dumps(("value", pickle.dumps(result)))
    except BaseException as error:
        return marshal.dumps(("not shareable", f"the result: {_line(error)}"))


def _function(kind: str, what: Any, main_file: str | None) -> Any:
    import types

    if kind == "code":
        return types.FunctionType(what, vars(sys.modules["__main__"]))
    return {"exec": _exec, "bind": _bind}[what] if kind == "own" else _loads(what, main_file)


def _exec(source: str) -> None:
    exec(compile(source, "<script>", "exec"), vars(sys.modules["__main__"]))


def _bind(values: dict[str, object]) -> None:
    vars(sys.modules["__main__"]).update(values)


def _loads(octets: bytes, main_file: str | None) -> Any:
    import io

    unpickler = (_unpickler_class or _make_unpickler_class())(io.BytesIO(octets))
    unpickler.main_file = main_file
    return unpickler.load()


def _make_unpickler_class() -> Any:
    import pickle

    class Unpickler(pickle.Unpickler):
        main_file: str | None

        def find_class(self, module: str, name: str) -> Any:
            if module == "__main__":
                return _of_main(name, self.main_file)
            found = super().find_class(module, name)
            if module == "backports.interpreters._queues" and sys.version_info < (3, 13):
                # Here the end of any handle, not only of the last, would destroy the queue.
                backend: Any = sys.modules["backports.interpreters._qbackend"]
                backend.release = lambda number: None
            return found

    global _unpickler_class
    _unpickler_class = Unpickler
    return Unpickler


def _of_main(name: str, main_file: str | None) -> Any:
    """A name of the maker's script: of __main__ here, else of the script run under another name."""
    global _main_names
    here = vars(sys.modules["__main__"])
    if name.partition(".")[0] not in here:
        if _main_names is None:
            import runpy

            _main_names = runpy.run_path(main_file, run_name=FAKE_MAIN) if main_file else {}
        here = _main_names
    first, *rest = name.split(".")
    try:
        found = here[first]
    except KeyError:
        raise AttributeError(f"__main__ has no {first!r}") from None
    for part in rest:
        found = getattr(found, part)
    return found


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as second:
        return f"(its text could not be made: {type(second).__name__})"


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {_text(error)}"


def _traceback(error: BaseException) -> str:
    """As Python prints it, without the frames of this module."""
    import traceback

    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_globals.get("__name__") == __name__:
            trace = trace.tb_next
        return "".join(traceback.format_exception(type(error), error, trace)).rstrip("\n")
    except BaseException:
        return _line(error)
