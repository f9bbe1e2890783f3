import asyncio

from distconv.engine.segments import Segment, SegmentCutter

KIB = 1024


def _cutter(
    *, largest_bytes: int = 1024 * KIB, flush_s: float = 60
) -> tuple[SegmentCutter, list[Segment]]:
    found: list[Segment] = []
    return SegmentCutter(found.append, largest_bytes=largest_bytes, flush_s=flush_s), found


async def test_segments_grow_to_the_largest() -> None:
    cutter, found = _cutter()
    piece = bytes(64 * KIB)
    for number in range(60):
        cutter.add(number * len(piece), piece)
    cutter.cut()
    assert [s.length // KIB for s in found] == [256, 512, 1024, 1024, 1024]
    assert [s.offset // KIB for s in found] == [0, 256, 768, 1792, 2816]
    assert [at for s in found for at, _ in s.chunks()] == [n * len(piece) for n in range(60)]


async def test_a_small_window_has_small_segments() -> None:
    cutter, found = _cutter(largest_bytes=100)
    for number in range(3):
        cutter.add(number * 60, bytes(60))
    assert [(s.offset, s.length) for s in found] == [(0, 120)]


async def test_nothing_is_cut_of_nothing() -> None:
    cutter, found = _cutter()
    cutter.cut()
    cutter.add(0, b"a")
    cutter.cut()
    cutter.cut()
    assert [s.pieces for s in found] == [(b"a",)]


async def test_what_comes_slowly_is_cut_by_the_clock() -> None:
    cut = asyncio.Event()
    found: list[Segment] = []

    def note(segment: Segment) -> None:
        found.append(segment)
        cut.set()

    cutter = SegmentCutter(note, largest_bytes=1024 * KIB, flush_s=0.01)
    for number in range(2):
        cutter.add(number, b"a")
        async with asyncio.timeout(10):
            await cut.wait()
        cut.clear()
    assert [s.offset for s in found] == [0, 1]


async def test_a_closed_one_cuts_nothing_by_the_clock() -> None:
    cutter, found = _cutter(flush_s=0)
    cutter.add(0, b"a")
    cutter.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert found == []
