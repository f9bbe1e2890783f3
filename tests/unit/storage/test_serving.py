import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from distconv.core.errors import DamagedObjectError, InvalidArgumentError, OutOfRangeError
from distconv.storage.providers.memory import MemoryReader
from distconv.storage.serving import RangeServer, resolve

CONTENT = bytes(range(256)) * 40


class CountingReader(MemoryReader):
    reads = 0

    async def read(self, offset: int, length: int, *, piece_bytes: int) -> list[bytes]:
        self.reads += 1
        return await super().read(offset, length, piece_bytes=piece_bytes)


async def _asked(*ranges: tuple[int, int]) -> AsyncIterator[tuple[int, int]]:
    for asked in ranges:
        yield asked


async def _collect(*ranges: tuple[int, int]) -> list[bytes]:
    server = RangeServer(
        MemoryReader(CONTENT),
        _asked(*ranges),
        name="objects/o",
        piece_bytes=lambda: 100,
        ahead_bytes=350,
    )
    found = [b""]
    async with aclosing(server.loads()) as loads:
        async for load in loads:
            assert sum(map(len, load.pieces)) <= 300
            found[-1] += b"".join(load.pieces)
            if load.last:
                found.append(b"")
    return found[:-1]


async def test_ranges_come_whole_and_in_their_order() -> None:
    size = len(CONTENT)
    found = await _collect((5, 1), (1000, 1234), (0, 0), (size - 7, 7), (size, 0), (0, 300))
    assert found == [
        CONTENT[5:6],
        CONTENT[1000:2234],
        CONTENT,
        CONTENT[-7:],
        b"",
        CONTENT[:300],
    ]


async def test_ranges_before_a_bad_one_are_served_first() -> None:
    server = RangeServer(
        MemoryReader(CONTENT),
        _asked((0, 10), (-1, 5)),
        name="objects/o",
        piece_bytes=lambda: 100,
        ahead_bytes=100,
    )
    loads = server.loads()
    assert (await anext(loads)).pieces == [CONTENT[:10]]
    with pytest.raises(InvalidArgumentError):
        await anext(loads)


async def test_a_reader_that_stops_costs_one_load_ahead() -> None:
    reader = CountingReader(CONTENT)
    server = RangeServer(
        reader, _asked((0, 0)), name="objects/o", piece_bytes=lambda: 100, ahead_bytes=200
    )
    async with aclosing(server.loads()) as loads:
        await anext(loads)
        for _ in range(50):
            await asyncio.sleep(0)
        assert reader.reads == 2


async def test_what_is_cut_short_while_it_is_read_is_damaged() -> None:
    reader = MemoryReader(CONTENT)
    reader.size_bytes += 1
    server = RangeServer(
        reader,
        _asked((0, 0)),
        name="objects/o",
        piece_bytes=lambda: 100,
        ahead_bytes=len(CONTENT) * 2,
    )
    found = f"{len(CONTENT)} of {len(CONTENT) + 1} bytes are stored"
    with pytest.raises(DamagedObjectError, match=found):
        await anext(server.loads())


@pytest.mark.parametrize("bad", [(-1, 1), (0, -1), (-(2**63), 2**63 - 1)])
def test_a_negative_range_is_no_range(bad: tuple[int, int]) -> None:
    with pytest.raises(InvalidArgumentError, match="is no range"):
        resolve(*bad, 100)


@pytest.mark.parametrize("bad", [(101, 0), (100, 1), (0, 101), (2**63 - 1, 2**63 - 1)])
def test_a_range_beyond_the_end_says_where_the_end_is(bad: tuple[int, int]) -> None:
    with pytest.raises(OutOfRangeError, match="the object has 100 bytes") as caught:
        resolve(*bad, 100)
    assert caught.value.metadata["size_bytes"] == "100"


def test_length_zero_is_to_the_end() -> None:
    assert resolve(40, 0, 100) == (40, 100)
    assert resolve(0, 0, 0) == (0, 0)
