import asyncio
from collections.abc import AsyncIterator

import pytest

from distconv.core.errors import InvalidArgumentError, ResourceExhaustedError
from distconv.storage.read_requests import ReadRequest, ReadRequests


def _ask(*, range_: tuple[int, int] | None = None, credit_bytes: int = 0) -> ReadRequest:
    return ReadRequest(range=range_, credit_bytes=credit_bytes)


async def _stream(*others: ReadRequest) -> AsyncIterator[ReadRequest]:
    for request in others:
        yield request


async def _silent() -> AsyncIterator[ReadRequest]:
    await asyncio.Event().wait()
    yield _ask()


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("credit_bytes", [0, 1])
async def test_ranges_come_in_their_order(credit_bytes: int) -> None:
    first = _ask(range_=(0, 1), credit_bytes=credit_bytes)
    requests = ReadRequests(first, _stream(_ask(), _ask(range_=(5, 2)), _ask(range_=(3, 0))))
    async with requests:
        assert [asked async for asked in requests.ranges()] == [(0, 1), (5, 2), (3, 0)]


async def test_a_stream_without_credit_is_not_paced() -> None:
    requests = ReadRequests(_ask(range_=(0, 0)), _silent())
    for _ in range(100):
        await requests.spend(1000)


async def test_a_paced_stream_waits_for_credit() -> None:
    more: asyncio.Queue[ReadRequest] = asyncio.Queue()

    async def rest() -> AsyncIterator[ReadRequest]:
        while True:
            yield await more.get()

    requests = ReadRequests(_ask(range_=(0, 0), credit_bytes=10), rest())
    async with requests:
        assert await anext(requests.ranges()) == (0, 0)
        await requests.spend(6)
        await requests.spend(6)  # the last may go beyond
        waiting = asyncio.create_task(requests.spend(6))
        await more.put(_ask(credit_bytes=2))
        await _turn()
        assert not waiting.done()
        await more.put(_ask(credit_bytes=1))
        await waiting


async def test_requests_that_end_without_credit_are_refused() -> None:
    requests = ReadRequests(_ask(range_=(0, 0), credit_bytes=1), _stream())
    async with requests:
        assert [asked async for asked in requests.ranges()] == [(0, 0)]
        await requests.spend(5)
        with pytest.raises(InvalidArgumentError):
            await requests.spend(5)


async def test_negative_credit_is_refused() -> None:
    requests = ReadRequests(_ask(range_=(0, 0), credit_bytes=1), _stream(_ask(credit_bytes=-1)))
    async with requests:
        with pytest.raises(InvalidArgumentError):
            _ = [asked async for asked in requests.ranges()]


async def test_ranges_that_wait_are_bounded() -> None:
    rest = _stream(*(_ask(range_=(at, 1)) for at in range(2000)))
    requests = ReadRequests(_ask(range_=(0, 1), credit_bytes=1), rest)
    async with requests:
        with pytest.raises(ResourceExhaustedError):
            _ = [asked async for asked in requests.ranges()]
