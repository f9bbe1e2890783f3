import asyncio

import pytest

from distconv.rpc.limits import CHUNK_BYTES, MAX_CHUNK_BYTES
from distconv.rpc.pacing import Pacer


async def _acquire(pacer: Pacer, times: int) -> "asyncio.Task[None]":
    async def chunks() -> None:
        for _ in range(times):
            await pacer.acquire(CHUNK_BYTES)

    going = asyncio.create_task(chunks())
    await _turn()
    return going


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_sender_that_hears_nothing_stops_after_two_chunks() -> None:
    pacer = Pacer()
    going = await _acquire(pacer, 3)
    assert pacer.in_flight_bytes == 2 * CHUNK_BYTES
    assert not going.done()
    pacer.written(CHUNK_BYTES)
    await going
    assert pacer.in_flight_bytes == 2 * CHUNK_BYTES


async def test_a_reader_allows_two_chunks_and_then_what_arrived() -> None:
    pacer = Pacer()
    assert pacer.grant().credit_bytes == 2 * CHUNK_BYTES
    assert pacer.grant().credit_bytes == 0
    pacer.written(CHUNK_BYTES - 1)
    assert pacer.grant().credit_bytes == 0  # less than a chunk is worth no message
    pacer.written(1)
    assert pacer.grant().credit_bytes == CHUNK_BYTES


@pytest.mark.parametrize("largest", [CHUNK_BYTES, MAX_CHUNK_BYTES])
async def test_a_reader_of_a_fast_line_allows_two_chunks_of_the_largest(largest: int) -> None:
    pacer = Pacer(largest_chunk_bytes=largest)
    allowed = pacer.grant().credit_bytes
    for _ in range(400):  # written as fast as this loop goes
        pacer.written(allowed)
        allowed = pacer.grant().credit_bytes
    assert pacer.chunk_bytes == largest
    assert allowed == pacer.in_flight_bytes == 2 * largest
