"""Own the attempts and their runners. Never touches media, so that no encoder can cost a lease."""

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from distconv.core.attempt import AttemptPhase, Cancelled, Outcome, Returned
from distconv.core.errors import DistconvError
from distconv.core.failure import Failure
from distconv.engine import wire
from distconv.engine.attempts import AttemptTable, LiveAttempt, StopReason
from distconv.engine.runner_pool import RunnerPool
from distconv.engine.runner_process import RunnerProcess
from distconv.engine.scratch import Scratch
from distconv.engine.work import AttemptReport, AttemptResult, LogLines, SealedResult

_log = structlog.get_logger()

# Log lines that wait for a session; older ones give way.
_MAX_LOGS = 256


class Supervisor:
    """Start, watch and stop runners, and keep what is to be told to dispatch.

    `changed` is set whenever there is something new to tell.
    """

    def __init__(
        self, pool: RunnerPool, *, slots: int, cancel_grace_s: float, scratch: Scratch
    ) -> None:
        self._pool = pool
        self._scratch = scratch
        self._slots = slots
        self._grace_s = cancel_grace_s
        self._attempts = AttemptTable()
        self._runners: dict[str, RunnerProcess] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._logs: deque[LogLines] = deque(maxlen=_MAX_LOGS)
        self.draining = False
        self.changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._busy = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    # --- what dispatch asks ---------------------------------------------------------------

    def assign(
        self,
        *,
        attempt: str,
        fencing_token: int,
        payload: bytes,
        dispatch_address: str,
        scratch_bytes: int = 0,
    ) -> str:
        """Begin an attempt; return why not, or nothing when it is taken.

        The same assignment again is taken again without beginning twice.
        """
        if self._attempts.get(attempt, fencing_token) is not None:
            return ""
        if self.draining:
            return "the engine is shutting down"
        if self._attempts.running_count >= self._slots:
            return f"all {self._slots} slots are busy"
        if refusal := self._scratch.reserve(attempt, scratch_bytes):
            return refusal
        try:
            runner = self._pool.take()
        except DistconvError as error:
            self._scratch.release(attempt)
            return error.message
        runner.assign(payload, dispatch_address)
        live = LiveAttempt(name=attempt, fencing_token=fencing_token)
        self._attempts.add(live)
        self._busy.set()
        self._idle.clear()
        self._runners[attempt] = runner
        task = asyncio.create_task(self._follow(live, runner), name=f"follow {attempt}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        _log.info("attempt_started", attempt=attempt, runner=runner.pid)
        return ""

    def cancel(self, attempt: str, fencing_token: int) -> None:
        """Stop an attempt on dispatch's word."""
        live = self._attempts.get(attempt, fencing_token)
        if live is not None:
            self._stop(live, StopReason.CANCELLED)

    def drop_stale(self, attempts: Sequence[str]) -> None:
        """Stop attempts that do not hold any more, and forget what they made."""
        for name in attempts:
            live = self._attempts.find(name)
            if live is None:
                continue
            _log.warning("attempt_stale", attempt=name)
            if live.phase is AttemptPhase.ENDED:
                self._attempts.remove(name)
            else:
                self._stop(live, StopReason.STALE)

    def acknowledge(self, attempt: str, fencing_token: int) -> None:
        """Forget an attempt whose result dispatch has stored."""
        live = self._attempts.get(attempt, fencing_token)
        if live is not None and live.phase is AttemptPhase.ENDED:
            self._attempts.remove(attempt)
            self._settled.set()
            self.changed.set()

    # --- who else wants the machine -------------------------------------------------------

    async def wait_busy(self) -> None:
        """Wait until an attempt runs."""
        await self._busy.wait()

    async def wait_idle(self, span_s: float) -> None:
        """Wait until nothing has run for `span_s`."""
        while True:
            await self._idle.wait()
            try:
                async with asyncio.timeout(span_s):
                    await self._busy.wait()
            except TimeoutError:
                return

    # --- what dispatch is told ------------------------------------------------------------

    def reports(self) -> list[AttemptReport]:
        """Return every attempt as it is now."""
        return self._attempts.reports()

    def unacknowledged(self) -> list[SealedResult]:
        """Return the results that dispatch has not acknowledged."""
        return self._attempts.unacknowledged()

    async def wait_acknowledged(self) -> None:
        """Wait until dispatch has acknowledged every result."""
        while self.unacknowledged():
            self._settled.clear()
            await self._settled.wait()

    def take_logs(self) -> list[LogLines]:
        """Return the log lines that were not told yet, once."""
        taken = list(self._logs)
        self._logs.clear()
        return taken

    # --- the end --------------------------------------------------------------------------

    async def shut_down(self) -> None:
        """Take nothing new, stop what runs and leave it to be given back."""
        self.draining = True
        for live in self._attempts:
            if live.phase is not AttemptPhase.ENDED:
                self._stop(live, StopReason.SHUTDOWN)
        await asyncio.gather(*self._tasks, self._pool.close(), return_exceptions=True)
        self.changed.set()

    def _stop(self, live: LiveAttempt, reason: StopReason) -> None:
        if live.stop_reason is not None:
            return
        live.stop_reason = reason
        task = asyncio.create_task(self._end_runner(live.name), name=f"stop {live.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_runner(self, name: str) -> None:
        runner = self._runners.get(name)
        if runner is not None:
            await runner.stop(self._grace_s)

    async def _follow(self, live: LiveAttempt, runner: RunnerProcess) -> None:
        async for said in runner.said():
            match said:
                case AttemptReport():
                    live.phase, live.progress = said.phase, said.progress
                case SealedResult():
                    # The slot is free from here on: the runner only has to exit. Its files are
                    # gone already.
                    self._scratch.release(live.name)
                    live.result, live.phase = said, AttemptPhase.ENDED
                case LogLines():
                    self._logs.append(said)
            self.changed.set()
        ended = await runner.wait()
        self._scratch.release(live.name)
        await asyncio.to_thread(self._scratch.remove, live.name)  # if it was killed
        self._runners.pop(live.name, None)
        self._pool.give_back()
        self._conclude(live, ended.code)
        if not self._runners:
            self._busy.clear()
            self._idle.set()

    def _conclude(self, live: LiveAttempt, exit_code: int) -> None:
        live.phase = AttemptPhase.ENDED
        if live.stop_reason is StopReason.STALE:
            self._attempts.remove(live.name)
        elif live.result is None:
            outcome = _outcome_without_result(live.stop_reason, exit_code)
            live.result = wire.sealed(
                AttemptResult(attempt=live.name, fencing_token=live.fencing_token, outcome=outcome)
            )
        _log.info("attempt_ended", attempt=live.name, exit_code=exit_code)
        self.changed.set()


def _outcome_without_result(reason: StopReason | None, exit_code: int) -> Outcome:
    match reason:
        case StopReason.SHUTDOWN:
            return Returned(reason="the engine shut down")
        case StopReason.CANCELLED | StopReason.STALE:
            return Cancelled()
        case None:
            return Failure(
                reason="RUNNER_DIED",
                message=f"the runner process ended without a result ({_how(exit_code)}); "
                "the engine's log tells more",
                retryable=True,
                exit_code=exit_code,
            )


def _how(exit_code: int) -> str:
    return f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
