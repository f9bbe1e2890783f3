"""An event loop without a world outside: time jumps to the next timer, processes stop at any step.

Everything that a replica or an engine does runs in the context of its `Process`.
A process that is killed or hangs is not resumed: whatever would run next is kept
aside, between two awaits, as SIGKILL and SIGSTOP would leave it.
"""

import asyncio
import contextvars
import heapq
import itertools
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Self, TypeVar

_T = TypeVar("_T")

# So many rounds without time going on are no work, but somebody who runs in a circle.
_MAX_TURNS = 20_000


class StuckError(Exception):
    """Nothing is left to run and nothing is due: somebody waits for what never comes."""


class Process:
    """What lives and dies as one; `halted` while it is stopped, for good or for a while."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.halted = False
        # Called after so many steps more: how to die between two certain awaits.
        self.fuse = -1
        self.on_fuse: Callable[[], None] = _nothing
        self._set_aside: deque[_Handle] = deque()
        self._context = contextvars.Context()
        self._context.run(_PROCESS.set, self)

    def spawn(self, coroutine: Coroutine[Any, Any, _T], *, name: str = "") -> "asyncio.Task[_T]":
        """Run a coroutine, and all that it starts, in this process."""
        loop = asyncio.get_running_loop()
        return loop.create_task(coroutine, name=name or self.name, context=self._context.copy())

    def set_aside(self, handle: "_Handle") -> None:
        """Keep what would run next."""
        self._set_aside.append(handle)

    def go_on(self, loop: "VirtualLoop") -> None:
        """Run what was kept aside."""
        self.halted = False
        loop.resume(self._set_aside)
        self._set_aside = deque()


def _nothing() -> None:
    """Do nothing."""


_PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")
_OUTSIDE = contextvars.Context()


def _own(context: contextvars.Context | None) -> contextvars.Context:
    # An empty context counts as false: it is no context that was not given.
    return contextvars.copy_context() if context is None else context


class _Handle:
    """A callback that is to run."""

    __slots__ = ("args", "callback", "context", "dead", "when")

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
        when: float = 0.0,
    ) -> None:
        self.callback = callback
        self.args = args
        self.context = context
        self.when = when
        self.dead = False

    def cancel(self) -> None:
        """Never run it."""
        self.dead = True

    def cancelled(self) -> bool:
        """Tell whether it never runs."""
        return self.dead


class VirtualLoop(asyncio.AbstractEventLoop):
    """Run callbacks in the order they came due, on a clock of its own that starts at 0 s."""

    @classmethod
    def new(cls) -> Self:
        """Make a loop; it has what asyncio needs in memory, and nothing that touches a system."""
        return cls()

    def __init__(self) -> None:
        self._now = 0.0
        self._ready: deque[_Handle] = deque()
        self._timers: list[tuple[float, int, _Handle]] = []
        self._numbers = itertools.count()
        self._closed = False
        self._instant_turns = 0
        # What nobody caught; whoever runs the loop decides what it means.
        self.unhandled: list[str] = []

    # --- what asyncio asks of a loop --------------------------------------------------------

    def time(self) -> float:
        """Return the seconds since the beginning."""
        return self._now

    def get_debug(self) -> bool:
        """Return False."""
        return False

    def is_running(self) -> bool:
        """Tell whether this is the running loop."""
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        """Tell whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Forget everything."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()

    def call_soon(  # type: ignore[override]  # a handle of our own, without repr and debugging
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> _Handle:
        """Run a callback after those that are due."""
        handle = _Handle(callback, args, _own(context))
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> _Handle:
        """Run a callback at a time."""
        handle = _Handle(callback, args, _own(context), when)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> _Handle:
        """Run a callback in `delay` seconds."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        """Make a future."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[_T]":
        """Run a coroutine."""
        return asyncio.Task(coro, loop=self, name=name or "", context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what nobody caught."""
        self.unhandled.append(f"{context.get('message')}: {context.get('exception')!r}")

    # --- what the world asks of it ----------------------------------------------------------

    def outside(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        """Run a callback in `delay` seconds that no process's death prevents."""
        self.call_at(self._now + delay, callback, *args, context=_OUTSIDE)

    def resume(self, handles: "deque[_Handle]") -> None:
        """Run handles that were kept aside."""
        self._ready.extend(handles)

    def run_until_complete(  # type: ignore[override]
        self, main: Coroutine[Any, Any, _T]
    ) -> _T:
        """Run a coroutine to its end. Raises StuckError when nothing more can happen."""
        task = self.create_task(main, context=_OUTSIDE.copy())
        hooks = sys.get_asyncgen_hooks()
        # Without a finalizer an abandoned generator would run its clean-up where it is dropped.
        kept: list[AsyncGenerator[Any, Any]] = []
        sys.set_asyncgen_hooks(firstiter=None, finalizer=kept.append)
        asyncio._set_running_loop(self)
        try:
            while not task.done():
                self._turn()
        finally:
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
        return task.result()

    def _turn(self) -> None:
        """Run all that is due now; go on to the next timer when nothing is."""
        ready = self._ready
        if not ready:
            self._advance()
            self._instant_turns = 0
        self._instant_turns += 1
        if self._instant_turns > _MAX_TURNS:
            busy = sorted({repr(handle.callback)[:300] for handle in ready})
            raise StuckError(f"no time passes any more; this goes on for ever: {busy}")
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.dead:
                continue
            process = handle.context.get(_PROCESS)
            if process is None:
                handle.context.run(handle.callback, *handle.args)
                continue
            if process.halted:
                process.set_aside(handle)
                continue
            handle.context.run(handle.callback, *handle.args)
            if process.fuse > 0:
                process.fuse -= 1
                if process.fuse == 0:
                    process.on_fuse()

    def _advance(self) -> None:
        timers = self._timers
        while timers and timers[0][2].dead:
            heapq.heappop(timers)
        if not timers:
            raise StuckError("nothing is left to run, and nothing is due")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            _, _, handle = heapq.heappop(timers)
            if not handle.dead:
                self._ready.append(handle)
