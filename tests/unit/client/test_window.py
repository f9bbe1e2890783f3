import asyncio

from distconv.client.window import Window


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
