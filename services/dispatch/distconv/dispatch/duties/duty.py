"""Background duties: woken by an event or by the time of what is due next, never by polling."""

import asyncio
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError

_log = structlog.get_logger()

# After a failure (the database away, say) a duty tries again so much later.
_AFTER_FAILURE = timedelta(seconds=1)


class Duty(Protocol):
    """Something to be done whenever it is due."""

    @property
    def name(self) -> str:
        """Name it in logs."""
        ...

    async def run(self) -> datetime | None:
        """Do what is due; return when the next is, None when nothing is in sight."""
        ...


async def keep(duty: Duty, wake: asyncio.Event, clock: Clock) -> None:
    """Run a duty for ever: at once, whenever `wake` is set, and whenever its time has come.

    What makes it fail again and again is logged once, and so is that it goes on.
    """
    why = ""
    while True:
        wake.clear()
        try:
            due = await duty.run()
            if why:
                _log.info("duty_goes_on", duty=duty.name)
                why = ""
        except DistconvError as error:
            _heed_cancellation()
            if error.message != why:
                why = error.message
                _log.warning("duty_failed", duty=duty.name, why=why)
            due = clock.now() + _AFTER_FAILURE
        except Exception:  # noqa: BLE001  # logged with its traceback
            _heed_cancellation()
            # One duty's fault must not end the process; it is logged and tried again.
            _log.exception("duty_failed", duty=duty.name)
            due = clock.now() + _AFTER_FAILURE
        await _until(due, wake, clock)


def _heed_cancellation() -> None:
    """End the duty when it was cancelled.

    A driver that is cancelled while its server goes away may answer with the
    error of that instead: a duty that went on then would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _until(due: datetime | None, wake: asyncio.Event, clock: Clock) -> None:
    delay = None if due is None else max((due - clock.now()).total_seconds(), 0.0)
    try:
        async with asyncio.timeout(delay):
            await wake.wait()
    except TimeoutError:
        return
