import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from distconv.storage.digest import FrontierDigest
from distconv.storage.following import Follower
from distconv.storage.limits import Limits, Pace
from distconv.storage.providers.memory import MemoryProvider, MemoryReader
from distconv.storage.records import ObjectRecord, UploadRecord
from distconv.storage.serving import Load
from distconv.storage.testing import SteppedClock
from distconv.storage.threads import Threads
from distconv.storage.upload import Upload

CONTENT = os.urandom(3_000_000)
LIMITS = Limits(pace=Pace(read_ahead_bytes=50_000))


class _CountingReader(MemoryReader):
    """Count what is read."""

    read_bytes = 0

    async def read(self, offset: int, length: int, *, piece_bytes: int) -> list[bytes]:
        self.read_bytes += length
        return await super().read(offset, length, piece_bytes=piece_bytes)


async def _one(offset: int, length: int) -> AsyncGenerator[tuple[int, int], None]:
    yield offset, length


async def _never(upload: Upload) -> ObjectRecord:
    raise AssertionError(f"{upload.id.name} is not gone")


async def test_a_reader_that_stops_has_one_load_in_memory(tmp_path: Path) -> None:
    clock, threads = SteppedClock(), Threads(1)
    provider = MemoryProvider(tmp_path, clock=clock)
    record = UploadRecord(
        nonce="0" * 12, object_id="a", tenant="t", size_bytes=0, create_time=clock.now()
    )
    upload = Upload(
        record,
        await provider.stage("t/data/a.0"),
        digest=FrontierDigest(threads),
        limits=LIMITS,
        clock=clock,
        active_time=clock.now(),
    )
    await upload.write([(0, CONTENT)])
    await upload.flush()
    reader = _CountingReader(CONTENT)
    follower = Follower(
        upload,
        reader,
        _one(0, len(CONTENT)),
        piece_bytes=lambda: 10_000,
        outcome=_never,
        limits=LIMITS,
        clock=clock,
    )
    async with aclosing(follower.steps()) as steps:
        found = b""
        for count in range(1, 5):
            load = await anext(steps)
            assert isinstance(load, Load)
            assert reader.read_bytes == count * LIMITS.pace.read_ahead_bytes
            assert max(map(len, load.pieces)) == 10_000
            found += b"".join(load.pieces)
        assert found == CONTENT[: len(found)]
        assert upload.followers == 1
    assert upload.followers == 0
    await upload.close()
    threads.close()
