"""Keep runners warm: loading Python, gRPC and the media path takes longer than a job may wait."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from distconv.core.errors import DistconvError
from distconv.engine.runner_process import RunnerProcess

_log = structlog.get_logger()

# Starting a runner costs half a second of processor: let the encoder that was just begun have it.
REFILL_DELAY_S = 0.5


class RunnerPool:
    """A few idle runners; taking one starts another a little later."""

    def __init__(self, spawn: Callable[[], RunnerProcess], *, spare: int) -> None:
        self._spawn = spawn
        self._spare = spare
        self._idle: deque[RunnerProcess] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def fill(self) -> None:
        """Start runners until there are enough idle ones."""
        self._timer = None
        self._idle = deque(r for r in self._idle if not r.exited)
        while not self._closed and len(self._idle) < self._spare:
            try:
                self._idle.append(self._spawn())
            except DistconvError as error:
                _log.error("runner_not_started", error=error.message)
                self._refill_later()
                return

    def take(self) -> RunnerProcess:
        """Return an idle runner, or a new one when none is left.

        Raises EncodeFailedError when none can be started.
        """
        self._refill_later()
        while self._idle:
            runner = self._idle.popleft()
            if not runner.exited:
                return runner
        return self._spawn()

    async def close(self) -> None:
        """End the idle ones."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for runner in self._idle:
            runner.cancel()
        await asyncio.gather(*(r.stop(1.0) for r in self._idle))
        self._idle.clear()

    def _refill_later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(REFILL_DELAY_S, self.fill)
