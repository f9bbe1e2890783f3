import asyncio
from datetime import datetime

import pytest

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
