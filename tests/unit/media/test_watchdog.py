import asyncio

import pytest

from distconv.core.errors import StalledError
from distconv.media.watchdog import Watchdog


async def test_silence_is_a_stall() -> None:
    with pytest.raises(StalledError, match=r"no progress in bytes or frames for 0\.01 s"):
        await Watchdog(0.01).watch()


async def test_the_clock_stands_still_while_paused() -> None:
    watchdog = Watchdog(0.01)
    with watchdog.paused():
        watching = asyncio.create_task(watchdog.watch())
        done, _ = await asyncio.wait([watching], timeout=0.05)
        assert not done
    with pytest.raises(StalledError):
        await watching
