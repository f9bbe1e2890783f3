import asyncio
from datetime import datetime

import pytest
from structlog.testing import capture_logs

from distconv.core.clock import SystemClock
from distconv.core.errors import UnavailableError
from distconv.dispatch.duties.duty import keep


class _Drowned:
    """A duty whose driver answers a cancellation with an error of its own."""

    name = "drowned"

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.runs = 0

    async def run(self) -> datetime | None:
        self.runs += 1
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise UnavailableError("the database went away") from None
        return None


async def test_a_duty_ends_though_its_cancellation_came_back_as_another_error() -> None:
    duty = _Drowned()
    keeper = asyncio.create_task(keep(duty, asyncio.Event(), SystemClock()))
    await duty.began.wait()
    keeper.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeper
    assert duty.runs == 1


class _Failing:
    """A duty that fails with these messages, one after another, and is done then."""

    name = "failing"

    def __init__(self, *messages: str) -> None:
        self._messages = list(messages)
        self.done = asyncio.Event()

    async def run(self) -> datetime | None:
        if self._messages:
            raise UnavailableError(self._messages.pop(0))
        self.done.set()
        return None


async def test_what_makes_a_duty_fail_again_and_again_is_logged_once() -> None:
    duty, wake = _Failing("full", "full", "full", "away", "away"), asyncio.Event()
    with capture_logs() as logs:
        keeper = asyncio.create_task(keep(duty, wake, SystemClock()))
        while not duty.done.is_set():
            wake.set()
            await asyncio.sleep(0)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
    assert [(log["event"], log.get("why")) for log in logs] == [
        ("duty_failed", "full"),
        ("duty_failed", "away"),
        ("duty_goes_on", None),
    ]
