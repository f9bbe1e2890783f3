"""Keep runners warm: loading Python, gRPC and the media path takes longer than a job may wait."""

import asyncio
from collections import deque
from collections.abc import Callable

import structlog

from distconv.core.errors import DistconvError
from distconv.engine.runner_process import RunnerProcess

_log = structlog.get_logger()

# Starting a runner costs half a second of processor: let the encoder that was just begun have it.
REFILL_DELAY_S = 0.3


class RunnerPool:
    """A bounded number of runners, idle ones among them.

    `total` bounds idle and lent runners together, so that the engine's memory
    does not depend on how long its attempts take. A lent runner's place is
    filled a little after it has come back (`give_back`).
    """

    def __init__(self, spawn: Callable[[], RunnerProcess], *, total: int) -> None:
        self._spawn = spawn
        self._total = total
        self._idle: deque[RunnerProcess] = deque()
        self._lent_count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def fill(self) -> None:
        """Start runners until there are as many as there may be."""
        self._timer = None
        self._idle = deque(r for r in self._idle if not r.exited)
        while not self._closed and len(self._idle) + self._lent_count < self._total:
            try:
                self._idle.append(self._spawn())
            except DistconvError as error:
                _log.error("runner_not_started", error=error.message)
                self._fill_later()
                return

    def take(self) -> RunnerProcess:
        """Lend an idle runner, or a new one when none is left.

        Raises EncodeFailedError when none can be started.
        """
        runner = self._next_idle() or self._spawn()
        self._lent_count += 1
        return runner

    def give_back(self) -> None:
        """Note that a lent runner has ended, as each does after its attempt."""
        self._lent_count -= 1
        self._fill_later()

    async def close(self) -> None:
        """End the idle ones."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for runner in self._idle:
            runner.cancel()
        await asyncio.gather(*(r.stop(1.0) for r in self._idle))
        self._idle.clear()

    def _next_idle(self) -> RunnerProcess | None:
        while self._idle:
            runner = self._idle.popleft()
            if not runner.exited:
                return runner
        return None

    def _fill_later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(REFILL_DELAY_S, self.fill)
