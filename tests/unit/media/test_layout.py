import importlib.util
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distconv.core.errors import CorruptSourceError, MediaError, UnsupportedSourceError
from distconv.media.feeding import read_layout
from distconv.media.layout import (
    Layout,
    LayoutKind,
    LayoutLimits,
    Literal,
    SourceRange,
    arrange,
    index_first,
    interleaved,
    lay_out,
    lead_bytes,
)
from distconv.media.ports import BytesSource
from distconv.media.structure.boxes import Box, TopLevel, scan_top_level
from distconv.media.structure.chunks import read_tables

_spec = importlib.util.spec_from_file_location("movies", Path(__file__).with_name("movies.py"))
assert _spec is not None
assert _spec.loader is not None
movies: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(movies)

EAGER = LayoutLimits(max_lead_bytes=0)  # put in order of time whatever lies otherwise


async def render(data: bytes, layout: Layout, piece_bytes: int = 7) -> bytes:
    source = BytesSource(data)
    return b"".join([bytes(p) async for p in read_layout(source, layout, piece_bytes=piece_bytes)])


async def samples(data: bytes) -> list[list[bytes]]:
    """Read every chunk of every track through the file's own index."""
    found = await scan_top_level(BytesSource(data))
    moov = found.first(b"moov")
    assert moov is not None
    tables = read_tables(memoryview(data)[moov.offset : moov.end])
    return [[data[o : o + n] for o, n in zip(t.offsets, t.sizes, strict=True)] for t in tables]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    seed = random.Random(draw(st.integers(0, 2**32)))  # noqa: S311 - filler, not secrets
    tracks = [
        movies.Track(
            chunks=[
                [seed.randbytes(seed.randint(0, 9)) for _ in range(draw(st.integers(1, 3)))]
                for _ in range(draw(st.integers(1, 5)))
            ],
            wide=draw(st.booleans()),
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    all_chunks = [(t, c) for t, track in enumerate(tracks) for c in range(len(track.chunks))]
    order = draw(st.permutations(all_chunks))
    cut = draw(st.integers(0, len(order)))
    mdats = [list(order[:cut]), list(order[cut:])]
    data: bytes = movies.movie(
        tracks, mdats, index_at=draw(st.integers(-1, 2)), tail=draw(st.sampled_from([b"", b"junk"]))
    )
    return data


@given(data=files())
@settings(max_examples=150)
async def test_every_chunk_is_the_same_through_the_layout(data: bytes) -> None:
    layout = await lay_out(BytesSource(data), "mov")
    rendered = await render(data, layout)
    assert await samples(rendered) == await samples(data)
    assert len(rendered) == layout.size_bytes
    assert not (await scan_top_level(BytesSource(rendered))).index_last


@given(data=files())
@settings(max_examples=150)
async def test_chunks_in_order_of_time_are_the_same_chunks(data: bytes) -> None:
    layout = await lay_out(BytesSource(data), "mov", EAGER)
    rendered = await render(data, layout)
    assert await samples(rendered) == await samples(data)
    if layout.kind is LayoutKind.INTERLEAVED:
        found = await scan_top_level(BytesSource(rendered))
        moov = found.first(b"moov")
        assert moov is not None
        tables = read_tables(memoryview(rendered)[moov.offset : moov.end])
        by_place = sorted(
            (offset, size, time)
            for t in tables
            for offset, size, time in zip(t.offsets, t.sizes, t.times_ms, strict=True)
            if size
        )
        times = [time for _, _, time in by_place]
        assert times == sorted(times)


def flat_movie(**kwargs: Any) -> bytes:
    video = movies.Track(chunks=[[bytes([k]) * 100] for k in range(10)])
    audio = movies.Track(chunks=[[bytes([100 + k]) * 10] for k in range(10)])
    order = [(t, c) for c in range(10) for t in (0, 1)]
    if kwargs.pop("apart", False):
        order = sorted(order)
    data: bytes = movies.movie([video, audio], [order], **kwargs)
    return data


async def test_an_index_first_file_is_sent_as_it_is() -> None:
    data = flat_movie(index_at=0)
    layout = await lay_out(BytesSource(data), "mov")
    assert layout.kind is LayoutKind.AS_IS
    assert layout.segments == (SourceRange(0, len(data)),)


async def test_an_index_last_file_is_sent_index_first() -> None:
    data = flat_movie()
    layout = await lay_out(BytesSource(data), "mov")
    assert layout.kind is LayoutKind.INDEX_FIRST
    ftyp, index, media = layout.segments
    assert ftyp == SourceRange(0, 16)
    assert isinstance(index, Literal)
    assert media.length == 8 + 1100


async def test_tracks_one_after_another_are_sent_in_order_of_time() -> None:
    data = flat_movie(index_at=0, apart=True)
    limits = LayoutLimits(max_lead_bytes=500)
    layout = await lay_out(BytesSource(data), "mov", limits)
    assert layout.kind is LayoutKind.INTERLEAVED
    rendered = await render(data, layout)
    again = await lay_out(BytesSource(rendered), "mov", limits)
    assert again.kind is LayoutKind.AS_IS


async def test_the_lead_is_what_a_reader_has_to_hold() -> None:
    for apart, expected in ((False, 100), (True, 1000)):
        data = flat_movie(index_at=0, apart=apart)
        moov = (await scan_top_level(BytesSource(data))).first(b"moov")
        assert moov is not None
        held = lead_bytes(read_tables(memoryview(data)[moov.offset : moov.end]))
        assert expected - 100 <= held <= expected


async def test_chunks_too_large_to_hold_are_not_streamed() -> None:
    data = flat_movie(index_at=0, apart=True)
    limits = LayoutLimits(max_lead_bytes=0, max_chunk_bytes=50)
    with pytest.raises(UnsupportedSourceError, match="too large to be streamed"):
        await lay_out(BytesSource(data), "mov", limits)


async def test_offsets_beyond_32_bits_grow_their_table() -> None:
    """A layout is pure: the file of 4 GiB need not exist."""
    track = movies.Track(chunks=[[b"x" * 10] for _ in range(3)])
    end = 2**32
    track.offsets = [16, 1000, end - 20]
    index = movies.moov([track])
    found = TopLevel(
        boxes=(
            Box(b"mdat", 0, 8, end),
            Box(b"moov", end, 8, end + len(index)),
        )
    )
    layout = index_first(index, read_tables(memoryview(index)), found, end + len(index))
    literal = layout.segments[0]
    assert isinstance(literal, Literal)
    (table,) = read_tables(memoryview(literal.data))
    assert table.wide
    grown = len(index) + 4 * 3
    assert literal.length == grown
    assert list(table.offsets) == [16 + grown, 1000 + grown, end - 20 + grown]


async def test_a_fragmented_file_is_sent_as_it_is() -> None:
    data = movies.box(b"ftyp", b"iso5") + movies.moov([]) + movies.box(b"moof") * 3
    layout = await lay_out(BytesSource(data), "mov")
    assert layout.kind is LayoutKind.AS_IS


async def test_a_compressed_index_is_not_streamed() -> None:
    data = movies.box(b"mdat", b"x") + movies.box(b"moov", movies.box(b"cmov", b"x"))
    with pytest.raises(UnsupportedSourceError, match="compressed index"):
        await lay_out(BytesSource(data), "mov")


async def test_an_index_above_the_limit_is_not_streamed() -> None:
    with pytest.raises(UnsupportedSourceError, match="above the limit of 100"):
        await lay_out(BytesSource(flat_movie()), "mov", LayoutLimits(max_index_bytes=100))


async def test_containers_that_need_seeking_are_not_streamed() -> None:
    with pytest.raises(UnsupportedSourceError, match="'mxf' cannot be streamed"):
        await lay_out(BytesSource(b"x"), "mxf")


async def test_matroska_is_read_from_front_to_back() -> None:
    assert (await lay_out(BytesSource(b"x" * 10), "matroska")).size_bytes == 10


async def test_a_table_that_says_more_than_it_holds_is_damage() -> None:
    data = bytearray(flat_movie())
    at = data.index(b"stco") + 8
    data[at : at + 4] = struct.pack(">I", 2**31)
    with pytest.raises(CorruptSourceError, match="more entries than it holds"):
        await lay_out(BytesSource(bytes(data)), "mov")


async def test_chunks_that_overlap_cannot_make_a_small_file_a_huge_one() -> None:
    data = movies.movie([movies.Track(chunks=[[b"x" * 1000]] * 20)], [[(0, c) for c in range(20)]])
    found = await scan_top_level(BytesSource(data))
    moov = found.first(b"moov")
    assert moov is not None
    index = data[moov.offset : moov.end]
    (table,) = read_tables(memoryview(index))
    with pytest.raises(UnsupportedSourceError, match="too large to be streamed"):
        interleaved(index, (table, table), found, len(data), EAGER)


@given(data=files(), places=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255))))
@settings(max_examples=200)
async def test_damaged_indexes_raise_media_errors_at_most(
    data: bytes, places: list[tuple[int, int]]
) -> None:
    damaged = bytearray(data)
    for place, value in places:
        damaged[place % len(damaged)] = value
    try:
        layout = await lay_out(BytesSource(bytes(damaged)), "mov", EAGER)
    except MediaError:
        return
    assert layout.size_bytes <= 2 * len(damaged) + 64


@given(st.binary(max_size=400))
def test_any_index_raises_media_errors_at_most(body: bytes) -> None:
    index = movies.box(b"moov", body)
    found = TopLevel(boxes=(Box(b"mdat", 0, 8, 100), Box(b"moov", 100, 8, 100 + len(index))))
    try:
        layout = arrange(index, found, 100 + len(index), EAGER)
    except MediaError:
        return
    assert layout.size_bytes >= 100
