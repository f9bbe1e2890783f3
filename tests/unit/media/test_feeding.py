import asyncio
from contextlib import aclosing

import pytest

from distconv.core.errors import DataLossError
from distconv.media.feeding import read_layout
from distconv.media.layout import Layout, LayoutKind, Literal, SourceRange, as_is
from distconv.media.ports import BytesSource

DATA = bytes(range(256)) * 4


class Counting(BytesSource):
    """Count how many reads are under way at once."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.under_way = 0
        self.most = 0
        self.reads = 0

    async def read(self, offset: int, length: int) -> bytes:
        self.under_way += 1
        self.reads += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            return await super().read(offset, length)
        finally:
            self.under_way -= 1


async def test_segments_come_in_order() -> None:
    layout = Layout(
        kind=LayoutKind.INDEX_FIRST,
        segments=(SourceRange(10, 5), Literal(b"literal"), SourceRange(0, 3)),
        reason="",
    )
    pieces = [bytes(p) async for p in read_layout(BytesSource(DATA), layout, piece_bytes=4)]
    assert pieces == [DATA[10:14], DATA[14:15], b"lite", b"ral", DATA[:3]]


async def test_reads_run_ahead_within_bounds() -> None:
    source = Counting(DATA)
    read = read_layout(source, as_is(len(DATA), ""), piece_bytes=10, read_ahead=3)
    assert b"".join([bytes(p) async for p in read]) == DATA
    assert source.most == 3


async def test_nothing_is_left_running_when_the_reader_stops() -> None:
    source = Counting(DATA)
    async with aclosing(read_layout(source, as_is(len(DATA), ""), piece_bytes=10)) as read:
        await anext(read)
    assert source.under_way == 0
    assert source.reads <= 5


async def test_a_source_that_gives_too_little_is_data_loss() -> None:
    layout = as_is(len(DATA) + 1, "")
    with pytest.raises(DataLossError, match="gave 24 of 25 bytes at 1000"):
        async for _ in read_layout(BytesSource(DATA), layout, piece_bytes=1000):
            pass
