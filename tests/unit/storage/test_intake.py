import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta

import google_crc32c
import pytest

from distconv.core.errors import DataLossError, DiskFullError, InvalidArgumentError
from distconv.core.ranges import Range, RangeSet
from distconv.storage.digest import FrontierDigest
from distconv.storage.intake import Chunk, Intake, Progress
from distconv.storage.limits import Limits, Pace
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.records import UploadRecord
from distconv.storage.testing import SteppedClock
from distconv.storage.threads import Threads
from distconv.storage.upload import Upload


async def _opened(
    provider: MemoryProvider, clock: SteppedClock, threads: Threads, *, sync_delay: timedelta
) -> Upload:
    record = UploadRecord(
        nonce="0123456789ab", object_id="0abc", tenant="t", size_bytes=0, create_time=clock.now()
    )
    return Upload(
        record,
        await provider.stage("t/data/0abc.0123456789ab"),
        digest=FrontierDigest(threads),
        limits=Limits(pace=Pace(sync_delay=sync_delay)),
        clock=clock,
        active_time=clock.now(),
    )


@pytest.fixture
async def upload(
    provider: MemoryProvider, clock: SteppedClock, threads: Threads
) -> AsyncIterator[Upload]:
    made = await _opened(provider, clock, threads, sync_delay=timedelta(0))
    yield made
    await made.close()


def _chunk(offset: int, data: bytes = b"x" * 10) -> Chunk:
    return Chunk(offset=offset, data=data, crc32c=google_crc32c.value(data))


async def _stream(*chunks: Chunk) -> AsyncIterator[Chunk]:
    for chunk in chunks:
        yield chunk


async def _take(upload: Upload, chunks: AsyncIterator[Chunk]) -> list[Range]:
    intake = Intake(upload, chunks, batch_bytes=25)
    found: list[Range] = []
    async with aclosing(intake.progress()) as steps:
        async for progress in steps:
            assert progress.written_bytes == 0
            found += progress.durable
    return found


async def test_every_chunk_is_acknowledged_once(upload: Upload) -> None:
    chunks = [_chunk(at) for at in (50, 0, 10, 30, 20, 40)]
    found = await _take(upload, _stream(*chunks))
    assert sum(end - start for start, end in found) == 60
    assert list(RangeSet(found)) == [(0, 60)]
    assert upload.users == 0


async def test_what_was_written_is_told_of_before_it_is_durable(
    provider: MemoryProvider, clock: SteppedClock, threads: Threads
) -> None:
    upload = await _opened(provider, clock, threads, sync_delay=timedelta(days=1))
    more: asyncio.Queue[Chunk | None] = asyncio.Queue()

    async def sent() -> AsyncIterator[Chunk]:
        while (chunk := await more.get()) is not None:
            yield chunk

    intake = Intake(upload, sent(), batch_bytes=25, report_written=True)
    async with aclosing(intake.progress()) as steps:
        for at in (0, 10):
            more.put_nowait(_chunk(at))
            assert await anext(steps) == Progress(durable=[], written_bytes=10)
        more.put_nowait(None)
        last = [progress async for progress in steps]
    assert last == [Progress(durable=[(0, 20)], written_bytes=0)]
    await upload.close()


async def test_duplicates_are_acknowledged_too(upload: Upload) -> None:
    await _take(upload, _stream(_chunk(0)))
    assert await _take(upload, _stream(_chunk(0), _chunk(0))) == [(0, 10)]


async def test_nothing_sent_nothing_acknowledged(upload: Upload) -> None:
    assert await _take(upload, _stream()) == []


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Chunk(offset=10, data=b"x", crc32c=1), DataLossError),
        (_chunk(-1), InvalidArgumentError),
        (_chunk(10, b""), InvalidArgumentError),
    ],
)
async def test_the_good_chunks_before_a_bad_one_count(
    upload: Upload, bad: Chunk, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await _take(upload, _stream(_chunk(0), bad, _chunk(20)))
    assert list(upload.durable) == [(0, 10)]


async def test_a_disk_that_fills_up_ends_the_stream(
    upload: Upload, provider: MemoryProvider
) -> None:
    provider.room_bytes = 15
    with pytest.raises(DiskFullError):
        await _take(upload, _stream(*(_chunk(at * 10) for at in range(100))))
    assert upload.users == 0


async def test_a_sync_that_fails_ends_the_stream(upload: Upload, provider: MemoryProvider) -> None:
    provider.fails_to_sync = True
    with pytest.raises(DiskFullError):
        await _take(upload, _stream(_chunk(0)))
    provider.fails_to_sync = False
    assert await _take(upload, _stream(_chunk(0))) == [(0, 10)]


async def test_a_sender_that_is_too_fast_is_held_back(upload: Upload) -> None:
    taken = 0

    async def endless() -> AsyncIterator[Chunk]:
        nonlocal taken
        while True:
            yield _chunk(taken * 10)
            taken += 1

    async with upload._turn:  # the disk is busy
        intake = Intake(upload, endless(), batch_bytes=25)
        async with aclosing(intake.progress()) as steps:
            waiting = asyncio.create_task(anext(steps))
            for _ in range(200):
                await asyncio.sleep(0)
            assert taken < 20
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


async def test_a_receiver_that_leaves_ends_the_reading(upload: Upload) -> None:
    ended = asyncio.Event()

    async def one_then_silence() -> AsyncIterator[Chunk]:
        yield _chunk(0)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    intake = Intake(upload, one_then_silence(), batch_bytes=25)
    async with aclosing(intake.progress()) as steps:
        assert (await anext(steps)).durable == [(0, 10)]
    assert ended.is_set()
    assert upload.users == 0
