import asyncio
from collections.abc import AsyncIterator

import pytest

from distconv.core.errors import InvalidArgumentError, ResourceExhaustedError
from distconv.rpc.limits import CHUNK_BYTES, MAX_CHUNK_BYTES, MIN_CHUNK_BYTES
from distconv.storage.read_requests import ReadRequest, ReadRequests


def _ask(
    *, range_: tuple[int, int] | None = None, credit_bytes: int = 0, chunk_bytes: int = 0
) -> ReadRequest:
    return ReadRequest(range=range_, credit_bytes=credit_bytes, chunk_bytes=chunk_bytes)


async def _stream(*others: ReadRequest) -> AsyncIterator[ReadRequest]:
    for request in others:
        yield request


async def _silent() -> AsyncIterator[ReadRequest]:
    await asyncio.Event().wait()
    yield _ask()


async def _rest(more: asyncio.Queue[ReadRequest]) -> AsyncIterator[ReadRequest]:
    while True:
        yield await more.get()


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

    requests = ReadRequests(_ask(range_=(0, 0), credit_bytes=10), _rest(more))
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


async def test_no_chunk_exceeds_the_credit_of_a_reader_that_named_their_size() -> None:
    more: asyncio.Queue[ReadRequest] = asyncio.Queue()
    first = _ask(range_=(0, 0), credit_bytes=10_000, chunk_bytes=5000)
    requests = ReadRequests(first, _rest(more))
    async with requests:
        assert await anext(requests.ranges()) == (0, 0)
        assert requests.chunk_bytes == 5000
        await requests.spend(5000)
        await requests.spend(3000)
        waiting = asyncio.create_task(requests.spend(5000))
        await more.put(_ask(credit_bytes=2999, chunk_bytes=6000))
        await _turn()
        assert requests.chunk_bytes == 6000
        assert not waiting.done()
        await more.put(_ask(credit_bytes=1))
        await waiting
        assert requests.chunk_bytes == 6000


async def test_what_was_read_ahead_before_chunks_became_smaller_is_sent() -> None:
    more: asyncio.Queue[ReadRequest] = asyncio.Queue()
    first = _ask(range_=(0, 0), credit_bytes=100_000, chunk_bytes=100_000)
    requests = ReadRequests(first, _rest(more))
    async with requests:
        assert await anext(requests.ranges()) == (0, 0)
        await requests.spend(100_000)
        await more.put(_ask(credit_bytes=10_000, chunk_bytes=5000))
        await requests.spend(100_000)


async def test_a_reader_that_names_no_size_gets_chunks_as_ever() -> None:
    assert ReadRequests(_ask(range_=(0, 0)), _stream()).chunk_bytes == CHUNK_BYTES


@pytest.mark.parametrize("chunk_bytes", [-1, 1, MIN_CHUNK_BYTES - 1, MAX_CHUNK_BYTES + 1])
@pytest.mark.parametrize("place", ["first", "later"])
async def test_a_size_that_no_chunk_has_is_refused(chunk_bytes: int, place: str) -> None:
    bad = _ask(range_=(0, 1), credit_bytes=1, chunk_bytes=chunk_bytes)
    good = _ask(range_=(0, 1), credit_bytes=1)
    order = [bad, good] if place == "first" else [good, bad]
    requests = ReadRequests(order[0], _stream(order[1]))
    async with requests:
        with pytest.raises(InvalidArgumentError) as told:
            _ = [asked async for asked in requests.ranges()]
    assert told.value.field == "chunk_bytes"
