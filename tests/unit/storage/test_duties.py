"""The background duties outlive whatever goes wrong in one of their rounds."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import cast

import pytest

from distconv.core.errors import UnavailableError
from distconv.storage.expirer import expire_uploads
from distconv.storage.uploads import Uploads
from distconv.storage.watcher import watch_followed


class Failing:
    """Uploads whose rounds fail, each in another way, until one does not."""

    def __init__(self) -> None:
        self.errors: list[Exception] = [UnavailableError("away"), KeyError("a fault of ours")]
        self.done = asyncio.Event()

    async def sweep(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.done.set()

    look_at_followed = sweep


@pytest.mark.parametrize("duty", [expire_uploads, watch_followed])
async def test_a_duty_goes_on_after_any_error(duty: Callable[..., Awaitable[None]]) -> None:
    uploads = Failing()
    running = asyncio.ensure_future(duty(cast("Uploads", uploads), interval=timedelta(0)))
    done = asyncio.create_task(uploads.done.wait())
    await asyncio.wait({running, done}, return_when=asyncio.FIRST_COMPLETED)
    assert uploads.done.is_set()
    running.cancel()
    await asyncio.gather(running, done, return_exceptions=True)
