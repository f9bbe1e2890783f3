import asyncio

import pytest

from distconv.core.errors import UnavailableError
from distconv.rpc.window import Window


async def _turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_takes_wait_for_releases() -> None:
    window = Window(10)
    await window.take(6)
    waiting = asyncio.create_task(window.take(6))
    await _turn()
    assert not waiting.done()
    window.release(6)
    await waiting


async def test_one_piece_may_be_larger_than_the_window() -> None:
    await Window(10).take(1_000)


async def test_drained_when_all_is_acknowledged() -> None:
    window = Window(10)
    await window.drained()
    await window.take(4)
    drained = asyncio.create_task(window.drained())
    await _turn()
    assert not drained.done()
    window.release(4)
    await drained


async def test_a_failure_is_what_everybody_gets_from_then_on() -> None:
    window = Window(10)
    await window.take(8)
    waiting = [asyncio.create_task(window.take(8)), asyncio.create_task(window.drained())]
    await _turn()
    window.fail(UnavailableError("gone"))
    for task in waiting:
        with pytest.raises(UnavailableError, match="gone"):
            await task
    with pytest.raises(UnavailableError, match="gone"):
        await window.take(1)
    with pytest.raises(UnavailableError, match="gone"):
        window.check()
    assert window.taken_bytes == 8
