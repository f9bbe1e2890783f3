"""A runner's life: load, wait for one attempt, do it, say how it ended, exit.

It hears and speaks frames on its standard input and output; the end of its
input means stop, whether the supervisor asks for it or has died.
"""

import asyncio
import contextlib
import os
import sys

import structlog

from distconv.core.attempt import Outcome
from distconv.core.clock import SystemClock
from distconv.core.errors import DistconvError, InternalError
from distconv.core.failure import Failure
from distconv.core.ids import new_id
from distconv.engine import wire
from distconv.engine.frames import pack_frame, read_frame
from distconv.engine.runner.attempt import AttemptRunner
from distconv.engine.runner.config import RunnerConfig
from distconv.engine.work import Assignment, AttemptReport, AttemptResult, LogLines
from distconv.process.logs import configure_logs

_log = structlog.get_logger()


class Voice:
    """Speak to the supervisor; it always listens, so a write does not block for long."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def say(self, value: AttemptReport | AttemptResult | LogLines) -> None:
        """Send one thing; a supervisor that is gone is told nothing."""
        view = memoryview(pack_frame(wire.runner_frame(value)))
        with contextlib.suppress(BrokenPipeError):
            while view:
                view = view[os.write(self._fd, view) :]


def main() -> None:
    """Run one attempt; the exit code is 0 unless the runner itself is at fault."""
    # Whatever prints to standard output must not end up between the frames.
    voice_fd = os.dup(1)
    os.dup2(2, 1)
    asyncio.run(_live(Voice(voice_fd)))


async def _live(voice: Voice) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    first = await read_frame(reader)
    if first is None:
        return
    config = RunnerConfig.from_bytes(first)
    configure_logs(level=config.log_level)
    async with AttemptRunner(config, voice.say) as runner:
        address, payload = await read_frame(reader), await read_frame(reader)
        if address is None or payload is None:
            return
        assignment = wire.read_assignment(payload, dispatch_address=address.decode())
        structlog.contextvars.bind_contextvars(attempt=assignment.attempt)
        attempt = asyncio.create_task(_attempt(runner, assignment))
        stopped = asyncio.create_task(read_frame(reader))
        await asyncio.wait((attempt, stopped), return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not attempt.done():
            attempt.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            voice.say(
                AttemptResult(
                    attempt=assignment.attempt,
                    fencing_token=assignment.fencing_token,
                    outcome=await attempt,
                )
            )


async def _attempt(runner: AttemptRunner, assignment: Assignment) -> Outcome:
    try:
        return await runner.run(assignment)
    except DistconvError as error:
        _log.warning("attempt_failed", reason=error.reason, error=error.message)
        return Failure.of(error)
    except Exception:  # noqa: BLE001  # the last fence before the wire
        incident = new_id(SystemClock().now())
        _log.exception("attempt_broke", incident=incident)
        return Failure(
            reason=InternalError.reason,
            message=f"a fault of the engine; its log tells more under incident {incident}",
            retryable=True,
        )


if __name__ == "__main__":
    main()
