"""AsyncEngine: the ranks of an engine for the tasks of an event loop, on asyncio or trio.

No thread waits for a call. The engine has one descriptor, which the loop watches; when it is
readable, the calls that have ended meanwhile are taken at once, and their tasks go on. The two
backends differ only in how a loop watches a descriptor and how a task waits to be woken.
"""

import asyncio
import collections
import functools
import logging
import os
import sys
import types
from collections.abc import Buffer, Callable, Generator, Mapping
from importlib import import_module
from typing import Any, Protocol, Self

import anyio
import anyio.to_thread

from isoexec import _native
from isoexec.engine import (
    LOOK_SECONDS,
    RELOAD_SECONDS,
    Address,
    Engine,
    HostFunction,
    Look,
    RankStats,
    Route,
)
from isoexec.errors import CallTimeoutError, EngineClosedError, OverloadError
from isoexec.settings import PerRank, Settings, Value

__all__ = ["AsyncEngine"]

BATCH = 256  # completions taken at a time; all that wait, in one turn of the loop
PLACE_SECONDS = 0.005  # a queue whose calls were all cancelled gets free places without a sign
CLOSE_SECONDS = 0.005  # how often the calls that a close has ended are looked for
THREADS = 8  # for what blocks: start, close, looks


class _Signal(Protocol):
    """What one task awaits and the loop sets, once."""

    def done(self) -> bool: ...
    def set_result(self, result: None, /) -> None: ...
    def __await__(self) -> Generator[Any, Any, None]: ...


class _Loop(Protocol):
    """The loop that runs this task; it calls `taken` whenever the descriptor is readable."""

    def __init__(self, descriptor: int, taken: Callable[[], object]) -> None: ...
    def signal(self) -> _Signal: ...
    def later(self, seconds: float, do: Callable[[], object], /) -> object: ...
    def forget(self) -> None:
        """Watches the descriptor no more."""


class _AsyncioLoop:
    def __init__(self, descriptor: int, taken: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self.signal: Callable[[], asyncio.Future[None]] = self._loop.create_future
        self.later: Callable[[float, Callable[[], object]], object] = self._loop.call_later
        self._loop.add_reader(descriptor, taken)

    def forget(self) -> None:
        self._loop.remove_reader(self._descriptor)


class _TrioLoop:
    def __init__(self, descriptor: int, taken: Callable[[], object]) -> None:
        trio = import_module("trio")  # an optional package, so mypy may not know it
        self._scope = trio.CancelScope()
        self._trio = trio

        async def watch() -> None:
            with self._scope:
                while True:
                    await trio.lowlevel.wait_readable(descriptor)
                    taken()

        trio.lowlevel.spawn_system_task(watch, name="isoexec completions")
        self.signal = functools.partial(_TrioSignal, trio.lowlevel)

    def later(self, seconds: float, do: Callable[[], object]) -> None:
        async def wait() -> None:
            await self._trio.sleep(seconds)
            do()

        self._trio.lowlevel.spawn_system_task(wait, name="isoexec places")

    def forget(self) -> None:
        self._scope.cancel()


class _TrioSignal:
    __slots__ = ("_done", "_lowlevel", "_sleeper")

    def __init__(self, lowlevel: Any) -> None:
        self._lowlevel = lowlevel
        self._done = False
        self._sleeper: Any = None

    def done(self) -> bool:
        return self._done

    def set_result(self, result: None, /) -> None:
        self._done = True
        if self._sleeper is not None:
            self._lowlevel.reschedule(self._sleeper)

    def __await__(self) -> Generator[Any, Any, None]:
        if self._done:
            yield from self._lowlevel.checkpoint().__await__()
            return
        self._sleeper = self._lowlevel.current_task()
        yield from self._lowlevel.wait_task_rescheduled(self._abort).__await__()

    def _abort(self, _: object) -> Any:
        self._sleeper = None
        return self._lowlevel.Abort.SUCCEEDED


class _Call:
    """One call of a task: handed to a rank, or waiting for a place in its queue."""

    __slots__ = ("error", "gone", "signal", "submit", "task")

    def __init__(self, submit: Callable[..., _native.Task], signal: _Signal) -> None:
        self.submit = submit
        self.signal = signal
        self.task: _native.Task | None = None
        self.error: Exception | None = None
        self.gone = False

    def hand_over(self) -> bool:
        """Whether this call waits no more: it has a place, or will never have one."""
        if self.gone:
            return True
        try:
            self.task = self.submit(user=self.signal)
        except OverloadError:
            return False
        except Exception as error:  # goes to the task that awaits the call
            self.error = error
            self.signal.set_result(None)
        return True

    def cancel(self) -> None:
        self.gone = True
        if self.task is not None:
            self.task.cancel()

    def result(self) -> _native.Result:
        if self.task is None:
            assert self.error is not None
            raise self.error
        return self.task.result(0)


def _running_loop() -> type[_Loop]:
    trio = sys.modules.get("trio")
    return _TrioLoop if trio is not None and trio.lowlevel.in_trio_run() else _AsyncioLoop


class AsyncEngine:
    """An :class:`~isoexec.Engine` with queue ranks whose calls are awaited, on asyncio or trio.

    .. code-block:: python

        async with AsyncEngine("handler.py", ranks=4) as engine:
            result = await engine.python_exec("route", message)

    Use it in the event loop that started it, from as many tasks as you like; the deadlines and
    cancel scopes of anyio, asyncio and trio work. A task that is cancelled lets go of its call: if
    it still waits it is not made, if it runs it ends unseen.

    Takes what Engine takes, but for ``channel``. Host functions run on the ranks' threads, beside
    the loop.
    """

    def __init__(
        self,
        script: str | os.PathLike[str] | None = None,
        *,
        ranks: int | None = None,
        settings: Mapping[str, Value | None] | None = None,
        per_rank: PerRank | None = None,
        functions: Mapping[str, HostFunction] | None = None,
        logger: logging.Logger | None = None,
        on_event: Callable[[str, int], None] | None = None,
        **more: Value | None,
    ) -> None:
        self._make = functools.partial(
            Engine,
            script,
            ranks=ranks,
            settings=settings,
            per_rank=per_rank,
            functions=functions,
            logger=logger,
            on_event=on_event,
            channel="queue",
            **more,
        )
        self._started = False
        self._unwanted = False
        self._engine: Engine | None = None
        self._loop: _Loop
        self._placeless: dict[int | None, collections.deque[_Call]] = {}
        self._looks_again = False

    @property
    def engine(self) -> Engine:
        """The engine behind this one, for host functions and threads, which can not await.

        Do not close it: :meth:`close` of this one does, and tells the tasks that wait.

        :raises EngineClosedError: it is not started.
        """
        if self._engine is None:
            raise EngineClosedError("the engine is not started: use `async with`, or await start()")
        return self._engine

    @property
    def settings(self) -> Settings:
        """The settings that were given."""
        return self.engine.settings

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._engine is not None and self._engine.closed

    async def start(self) -> None:
        """Makes the engine and starts its ranks, on another thread: the loop goes on.

        :raises IsoexecError: as :class:`~isoexec.Engine`, or EngineClosedError if it was started.
        """
        if self._started:
            raise EngineClosedError("the engine was started before; make another one")
        self._started = True
        self._threads = anyio.CapacityLimiter(THREADS)
        self._closing = anyio.Lock()
        try:
            await anyio.to_thread.run_sync(self._make_engine, limiter=self._threads)
        except BaseException:  # asyncio's own cancellation does not wait for the thread
            self._unwanted = True
            if self._engine is not None:
                await self._close_engine(self._engine)
            raise
        self._native = self.engine._native
        self._reject = self.engine.settings.get("on_overload") == "reject"
        self._loop = _running_loop()(self._native.fileno(), self._take)

    def _make_engine(self) -> None:
        """Runs on another thread, which may come too late."""
        engine = self._make()
        self._engine = engine
        if self._unwanted:
            engine.close()

    def _take(self) -> int:
        """Wakes the tasks of the calls that have ended: how many. Their places go to others."""
        taken = 0
        while True:
            tasks = self._native.completions(BATCH)
            for task in tasks:
                signal = task.user
                if not signal.done():  # else cancelled in this turn of the loop
                    signal.set_result(None)
            taken += len(tasks)
            if len(tasks) < BATCH:
                break
        if self._placeless:
            self._give_places()
        return taken

    def _give_places(self) -> None:
        """Hands calls over in the order in which they came, as long as their queue has room."""
        for rank, waiting in list(self._placeless.items()):
            while waiting and waiting[0].hand_over():
                waiting.popleft()
            if not waiting:
                del self._placeless[rank]
        if self._placeless and not self._looks_again:
            self._looks_again = True
            self._loop.later(PLACE_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._looks_again = False
        self._give_places()

    async def python_exec(
        self,
        method: str,
        message: Buffer,
        extra: str | None = None,
        *,
        rank: int | None = None,
        route: Route = "request",
        source: Address | None = None,
        destination: Address | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # as Engine has it
    ) -> _native.Result:
        """Runs a method in a rank and waits for its Result, as :meth:`isoexec.Engine.python_exec`.

        While the queue is full, callers wait for a place in the order in which they came.

        :raises IsoexecError: as :meth:`isoexec.Engine.python_exec`.
        """
        submit = functools.partial(
            self.engine._native.submit,
            method,
            message,
            extra,
            rank=rank,
            route=route,
            source=source,
            destination=destination,
        )
        if timeout is None:
            return await self._call(submit, rank)
        with anyio.move_on_after(timeout):
            return await self._call(submit, rank)
        raise CallTimeoutError("the time is over")

    async def _call(self, submit: Callable[..., _native.Task], rank: int | None) -> _native.Result:
        call = _Call(submit, self._loop.signal())
        if rank in self._placeless or not call.hand_over():
            if self._reject:
                raise OverloadError("the queue is full (setting queue_size)")
            self._placeless.setdefault(rank, collections.deque()).append(call)
            self._give_places()
        try:
            await call.signal
        except BaseException:
            call.cancel()
            raise
        return call.result()

    def stats(self) -> list[RankStats]:
        """The counters of every rank; never waits. As :meth:`isoexec.Engine.stats`."""
        return self.engine.stats()

    async def reload(self, *, timeout: float = RELOAD_SECONDS) -> None:  # noqa: ASYNC109
        """Has each rank load the script afresh, as :meth:`isoexec.Engine.reload`."""
        reload = functools.partial(self.engine.reload, timeout=timeout)
        await anyio.to_thread.run_sync(reload, limiter=self._threads)

    async def look(
        self,
        rank: int,
        what: Look,
        snippet: str | None = None,
        *,
        timeout: float = LOOK_SECONDS,  # noqa: ASYNC109  # the engine keeps it
    ) -> Any:
        """Looks into a rank, as :meth:`isoexec.Engine.look`."""
        look = functools.partial(self.engine.look, rank, what, snippet, timeout=timeout)
        return await anyio.to_thread.run_sync(look, limiter=self._threads)

    async def close(self) -> int:
        """Ends the engine, as :meth:`isoexec.Engine.close`; the loop goes on meanwhile.

        Calls that still wait end with EngineClosedError, also those of other tasks. Not cancelled
        by a cancellation: it ends by itself after the grace time.
        """
        if self._engine is None:
            return 0
        with anyio.CancelScope(shield=True):
            async with self._closing:
                if self._engine.closed:
                    return 0
                self._loop.forget()
                async with anyio.create_task_group() as group:
                    group.start_soon(self._take_while_closing)
                    abandoned = await self._close_engine(self._engine)
                    group.cancel_scope.cancel()
                while self._take() > 0:
                    pass
        return abandoned

    @staticmethod
    async def _close_engine(engine: Engine) -> int:
        """Not behind the limit of the looks, which may wait for what the end brings."""
        with anyio.CancelScope(shield=True):
            one = anyio.CapacityLimiter(1)
            abandoned = await anyio.to_thread.run_sync(engine.close, limiter=one)
        return abandoned

    aclose = close
    """The name that ``contextlib.aclosing`` calls."""

    async def _take_while_closing(self) -> None:
        while True:
            await anyio.sleep(CLOSE_SECONDS)
            while self._take() > 0:
                pass

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncEngine {self._engine!r}>"
