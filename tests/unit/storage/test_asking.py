import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from distconv.core.errors import InvalidArgumentError, ResourceExhaustedError
from distconv.storage.asking import Ask, Asking


def _ask(*, range_: tuple[int, int] | None = None, credit_bytes: int = 0) -> Ask:
    return Ask(range=range_, credit_bytes=credit_bytes)


async def _stream(*asks: Ask) -> AsyncIterator[Ask]:
    for ask in asks:
        yield ask


async def _silent() -> AsyncIterator[Ask]:
    await asyncio.Event().wait()
    yield _ask()


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("credit_bytes", [0, 1])
async def test_ranges_come_in_their_order(credit_bytes: int) -> None:
    first = _ask(range_=(0, 1), credit_bytes=credit_bytes)
    asking = Asking(first, _stream(_ask(), _ask(range_=(5, 2)), _ask(range_=(3, 0))))
    async with aclosing(asking):
        assert [asked async for asked in asking.ranges()] == [(0, 1), (5, 2), (3, 0)]


async def test_a_stream_without_credit_is_not_paced() -> None:
    asking = Asking(_ask(range_=(0, 0)), _silent())
    for _ in range(100):
        await asking.spend(1000)


async def test_a_paced_stream_waits_for_credit() -> None:
    more: asyncio.Queue[Ask] = asyncio.Queue()

    async def rest() -> AsyncIterator[Ask]:
        while True:
            yield await more.get()

    asking = Asking(_ask(range_=(0, 0), credit_bytes=10), rest())
    async with aclosing(asking):
        assert await anext(asking.ranges()) == (0, 0)
        await asking.spend(6)
        await asking.spend(6)  # the last may go beyond
        waiting = asyncio.create_task(asking.spend(6))
        await more.put(_ask(credit_bytes=2))
        await _turn()
        assert not waiting.done()
        await more.put(_ask(credit_bytes=1))
        await waiting


async def test_requests_that_end_without_credit_are_refused() -> None:
    asking = Asking(_ask(range_=(0, 0), credit_bytes=1), _stream())
    async with aclosing(asking):
        assert [asked async for asked in asking.ranges()] == [(0, 0)]
        await asking.spend(5)
        with pytest.raises(InvalidArgumentError):
            await asking.spend(5)


async def test_negative_credit_is_refused() -> None:
    asking = Asking(_ask(range_=(0, 0), credit_bytes=1), _stream(_ask(credit_bytes=-1)))
    async with aclosing(asking):
        with pytest.raises(InvalidArgumentError):
            _ = [asked async for asked in asking.ranges()]


async def test_ranges_that_wait_are_bounded() -> None:
    rest = _stream(*(_ask(range_=(at, 1)) for at in range(2000)))
    asking = Asking(_ask(range_=(0, 1), credit_bytes=1), rest)
    async with aclosing(asking):
        with pytest.raises(ResourceExhaustedError):
            _ = [asked async for asked in asking.ranges()]
