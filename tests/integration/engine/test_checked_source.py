"""A bit that changed where storage keeps a file is found, in whatever order the file is read."""

import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio
import pytest
from tests.integration.engine.conftest import Storage
from tests.integration.engine.test_runner import (
    media_of,
    result_of,
    started_runner,
    transcode_of,
)

from distconv.core.errors import DataLossError
from distconv.engine.checked_source import CheckedSource
from distconv.engine.shared_folder import find_shared
from distconv.engine.source import StorageSource
from distconv.engine.storage_link import StorageLink
from distconv.rpc.tokens import MediaAction

MIB = 1024 * 1024
DATA = os.urandom(3 * MIB + 12_345)
STEP = 300_000
RANDOM = random.SystemRandom()


def flip(path: Path, at: int, bit: int = 0) -> None:
    """Flip a bit of a file, as a disk does that forgets."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


@asynccontextmanager
async def checked(
    storage: Storage, object_id: str, size_bytes: int = len(DATA), shared: Path | None = None
) -> AsyncIterator[CheckedSource]:
    link = StorageLink(storage.grant(MediaAction.READ, object_id), patience_s=5)
    if shared is None:
        source = CheckedSource(StorageSource(link, size_bytes), link)
    else:
        source = CheckedSource(await find_shared(link, size_bytes, [shared]), link)
    yield source
    await source.close()
    await link.close()


async def read_shuffled(source: CheckedSource) -> None:
    spans = list(range(0, len(DATA), STEP))
    RANDOM.shuffle(spans)
    for at in spans:
        await source.read(at, STEP)


async def read_to_the_end(source: CheckedSource) -> None:
    await read_shuffled(source)
    await source.settle()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage" / "storage"


async def test_what_is_as_it_was_committed_is_read_in_any_order(storage: Storage, folder: Path):
    object_id = await storage.put(DATA)
    for shared in (None, folder):
        async with checked(storage, object_id, shared=shared) as source:
            assert await source.read(len(DATA) - 5, 100) == DATA[-5:]
            assert await source.read(len(DATA), 100) == b""
            assert await source.read(MIB - 3, 6) == DATA[MIB - 3 : MIB + 3]
            await read_shuffled(source)
            await read_shuffled(source)
            sha256 = await source.settle()
            assert sha256 == await source.settle_whole()


@pytest.mark.parametrize("by_folder", [False, True])
async def test_a_flipped_bit_anywhere_is_found(storage: Storage, folder: Path, by_folder: bool):
    object_id = await storage.put(DATA)
    content = storage.content(object_id)
    for _ in range(20):
        at, bit = RANDOM.randrange(len(DATA)), RANDOM.randrange(8)
        async with checked(storage, object_id, shared=folder if by_folder else None) as source:
            flip(content, at, bit)
            start = at // MIB * MIB
            end = min(start + MIB, len(DATA)) - 1
            with pytest.raises(DataLossError, match=f"bytes {start} to {end} of objects/"):
                await read_to_the_end(source)
            flip(content, at, bit)


async def test_it_is_found_as_soon_as_its_block_was_read(storage: Storage):
    object_id = await storage.put(DATA)
    async with checked(storage, object_id) as source:
        await source.read(0, 10)
        flip(storage.content(object_id), MIB + 7)
        await source.read(2 * MIB, MIB)
        with pytest.raises(DataLossError, match=f"bytes {MIB} to {2 * MIB - 1} "):
            await source.read(MIB, MIB)


async def test_a_part_of_a_block_is_compared_in_the_end(storage: Storage):
    object_id = await storage.put(DATA)
    async with checked(storage, object_id) as source:
        flip(storage.content(object_id), 500)
        await source.read(400, 200)
        flip(storage.content(object_id), 500)  # it lies there rightly again, and was read wrongly
        with pytest.raises(DataLossError, match="bytes 0 to "):
            await source.settle()


async def test_a_file_that_another_reads_is_compared_whole(storage: Storage, folder: Path):
    object_id = await storage.put(DATA)
    async with checked(storage, object_id, shared=folder) as source:
        assert source.path == storage.content(object_id)
        flip(storage.content(object_id), len(DATA) - 1)
        assert await source.settle()  # nothing was read here
        with pytest.raises(DataLossError, match=f"bytes {3 * MIB} to "):
            await source.settle_whole()


async def test_what_changed_while_it_was_uploaded_is_found_once_it_is_committed(storage: Storage):
    async with storage.upload(DATA) as upload:
        await upload.send(0, len(DATA))
        async with checked(storage, upload.object_id) as source:
            (staging,) = [
                path
                for path in storage.folder.rglob(f"*{upload.object_id}*")
                if path.is_file() and path.stat().st_size >= len(DATA)
            ]
            flip(staging, 2 * MIB)
            await read_shuffled(source)
            await upload.complete()
            with pytest.raises(DataLossError, match=f"bytes {2 * MIB} to "):
                await source.settle()


def forget_blocks(storage: Storage, object_id: str) -> None:
    """Make an object one that was stored before blocks were kept."""
    (path,) = storage.folder.rglob(f"objects/local/objects/{object_id}")
    record = json.loads(path.read_bytes())
    assert record.pop("blocks")
    path.write_text(json.dumps(record))


async def test_an_object_without_blocks_is_read_as_it_is(storage: Storage, folder: Path):
    object_id = await storage.put(DATA)
    forget_blocks(storage, object_id)
    for shared in (None, folder):
        async with checked(storage, object_id, shared=shared) as source:
            await read_shuffled(source)
            assert await source.settle() == await source.settle_whole() != ""


WHERE = ["picture", "index", "sound"]


def place_in(data: bytes, where: str) -> int:
    media = data.index(b"mdat")
    return {
        "picture": media + 2000,
        "index": data.index(b"stts", media) + 19,
        "sound": data.rindex(b"moov") - 40,
    }[where]


@pytest.mark.parametrize("way", ["streamed", "streamed in place", "file in place"])
@pytest.mark.parametrize("where", WHERE)
async def test_nothing_is_made_of_a_source_that_rotted_in_storage(
    storage: Storage, folder: Path, index_last_mp4: Path, tmp_path: Path, way: str, where: str
):
    object_id, media = await media_of(index_last_mp4, storage)
    flip(storage.content(object_id), place_in(index_last_mp4.read_bytes(), where))
    shared = [] if way == "streamed" else [folder]
    sink = storage.grant(MediaAction.WRITE)
    room = 1 << 30 if way == "file in place" else 0
    async with started_runner(tmp_path / "scratch", *shared) as process:
        work = transcode_of(storage, object_id, media, "h264-480p", sink, by_file=room)
        process.assign(work, storage.address)
        failure = (await result_of(process)).failure
    assert (failure.reason, failure.retryable) == ("OBJECT_DAMAGED", False)
    assert f"objects/{object_id} is damaged" in failure.message
    with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
        await storage.get(sink.object_name.removeprefix("objects/"))
