import asyncio
import hashlib
import io
import os
import threading
from pathlib import Path

import google_crc32c
import pytest

from distconv.client.source import SourceFile
from distconv.core.errors import CorruptSourceError, FailedPreconditionError
from distconv.rpc.limits import CHUNK_BYTES, MAX_CHUNK_BYTES

_DATA = bytes(range(256)) * 4096


async def test_chunks_carry_their_place_and_checksum() -> None:
    with SourceFile.open(io.BytesIO(_DATA)) as source:
        pieces = await source.read(0, CHUNK_BYTES + 10, chunk_bytes=CHUNK_BYTES)
    assert [(p.offset, len(p.data)) for p in pieces] == [(0, CHUNK_BYTES), (CHUNK_BYTES, 10)]
    assert all(google_crc32c.value(p.data) == p.crc32c for p in pieces)


@pytest.mark.parametrize(
    "order",
    [[], [(0, 100), (100, 300)], [(500, 700), (0, 100)], [(0, 100), (50, 200), (0, 100)]],
)
async def test_the_digest_is_that_of_the_file_in_whatever_order_it_was_read(
    order: list[tuple[int, int]],
) -> None:
    with SourceFile.open(io.BytesIO(_DATA)) as source:
        for start, end in order:
            await source.read(start, end, chunk_bytes=CHUNK_BYTES)
        assert await source.sha256() == hashlib.sha256(_DATA).hexdigest()


async def test_chunks_of_what_is_missing_grow_when_they_are_to() -> None:
    wanted = iter([CHUNK_BYTES, MAX_CHUNK_BYTES])
    data = _DATA * 2
    with SourceFile.open(io.BytesIO(data)) as source:
        missing = [(10, 10 + MAX_CHUNK_BYTES), (MAX_CHUNK_BYTES + 20, 2 * MAX_CHUNK_BYTES)]
        pieces = [piece async for piece in source.chunks(missing, lambda: next(wanted))]
    assert [p.offset for p in pieces] == [
        *range(10, 10 + MAX_CHUNK_BYTES, CHUNK_BYTES),
        MAX_CHUNK_BYTES + 20,
    ]
    assert all(p.data == data[p.offset : p.offset + len(p.data)] for p in pieces)
    assert sum(len(p.data) for p in pieces) == sum(end - start for start, end in missing)


class _SlowFile(io.BytesIO):
    """A disk that stands still in the middle of a read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.reading = threading.Event()
        self.goes_on = threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.reading.set()
        self.goes_on.wait()
        return super().read(size)


async def test_a_read_that_is_given_up_ends_before_the_next_begins() -> None:
    file = _SlowFile(_DATA)
    with SourceFile.open(file) as source:
        given_up = asyncio.create_task(source.read(0, 1000, chunk_bytes=CHUNK_BYTES))
        await asyncio.to_thread(file.reading.wait)
        given_up.cancel()
        await asyncio.sleep(0)
        assert not given_up.done()
        file.goes_on.set()
        await asyncio.gather(given_up, return_exceptions=True)
        assert given_up.cancelled()
        await source.read(0, len(_DATA), chunk_bytes=CHUNK_BYTES)
        assert await source.sha256() == hashlib.sha256(_DATA).hexdigest()


async def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "growing.mp4"
    path.write_bytes(_DATA)
    with SourceFile.open(path) as source:
        path.write_bytes(_DATA[:10])
        with pytest.raises(FailedPreconditionError, match="shorter"):
            await source.read(0, 100, chunk_bytes=CHUNK_BYTES)


async def test_a_file_that_grows_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "growing.mp4"
    path.write_bytes(_DATA)
    with SourceFile.open(path) as source, path.open("ab") as writer:
        await source.read(0, len(_DATA), chunk_bytes=CHUNK_BYTES)
        writer.write(b"more")
        writer.flush()
        with pytest.raises(FailedPreconditionError, match=r"'growing\.mp4' was written to while"):
            await source.sha256()


async def test_a_stream_that_grows_has_no_digest() -> None:
    stream = io.BytesIO(_DATA)
    with SourceFile.open(stream) as source:
        stream.seek(0, os.SEEK_END)
        stream.write(b"more")
        with pytest.raises(FailedPreconditionError, match="was written to while"):
            await source.sha256()


async def test_a_file_written_over_in_place_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "edited.mp4"
    path.write_bytes(_DATA)
    os.utime(path, ns=(0, 0))
    with SourceFile.open(path) as source, path.open("r+b") as writer:
        await source.read(0, len(_DATA), chunk_bytes=CHUNK_BYTES)
        writer.write(b"other")
        writer.flush()
        with pytest.raises(FailedPreconditionError, match="was written to while"):
            await source.sha256()


async def test_a_digest_once_told_is_told_again(tmp_path: Path) -> None:
    path = tmp_path / "kept.mp4"
    path.write_bytes(_DATA)
    with SourceFile.open(path) as source:
        told = await source.sha256()
        path.write_bytes(b"other")
        assert await source.sha256() == told


def test_an_empty_stream_is_no_video() -> None:
    with pytest.raises(CorruptSourceError):
        SourceFile.open(io.BytesIO())
