"""Source and sink over a storage that goes away and comes back, and one that lies."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distconv.core.clock import SystemClock
from distconv.core.errors import DataLossError, NotFoundError, UnavailableError
from distconv.core.profile import Container
from distconv.engine.fetching import fetch
from distconv.engine.sink import StorageSink
from distconv.engine.source import StorageSource
from distconv.engine.storage_link import StorageLink
from distconv.engine.work import MediaGrant
from distconv.engine.write_stream import WriteStream
from distconv.rpc.auth import LocalAuthenticator
from distconv.rpc.embedding import EmbedContext, find_embeddable
from distconv.rpc.limits import CHUNK_BYTES
from distconv.rpc.server import Server, ServerSettings, Service, start_server
from distconv.rpc.tokens import KEY_BYTES, MediaAction, MediaTokens
from distconv.rpc.window import Window
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb
from distconv.v1 import storage_service_pb2_grpc as pb_grpc

from .conftest import Storage

MIB = 1024 * 1024


class Restartable:
    """A storage that can be taken away and brought back at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bind = "127.0.0.1:0"
        self.tokens = MediaTokens(b"k" * KEY_BYTES, SystemClock())

    async def up(self) -> Storage:
        self._embedded = find_embeddable("storage")(
            EmbedContext(data_dir=self._folder, tokens=self.tokens, clock=SystemClock())
        )
        await self._embedded.start()
        self._server: Server = await start_server(
            ServerSettings(bind=self._bind), self._embedded.services
        )
        self._bind = self._server.address
        return Storage(self._server.address, self.tokens, self._folder)

    async def down(self) -> None:
        await self._server._inner.stop(0)
        await self._embedded.stop()


@pytest.fixture
async def restartable(tmp_path: Path) -> AsyncIterator[Restartable]:
    storage = Restartable(tmp_path / "storage")
    yield storage
    await storage.down()


async def test_ranges_come_in_any_order_and_at_once(storage):
    data = os.urandom(2 * MIB)
    grant = storage.grant(MediaAction.READ, await storage.put(data))
    link = StorageLink(grant, patience_s=5)
    source = StorageSource(link, len(data))
    spans = [(0, 10), (MIB, 300_000), (5, 1), (len(data) - 3, 99), (len(data), 5), (100, MIB)]
    found = await asyncio.gather(*(source.read(o, n) for o, n in spans))
    await source.close()
    await link.close()
    assert found == [data[o : o + n] for o, n in spans]


async def test_a_source_goes_on_where_it_was_after_storage_came_back(restartable):
    storage = await restartable.up()
    data = os.urandom(3 * MIB)
    link = StorageLink(storage.grant(MediaAction.READ, await storage.put(data)), patience_s=30)
    source = StorageSource(link, len(data))
    first = await source.read(0, MIB)
    await restartable.down()
    waiting = asyncio.create_task(source.read(MIB, 2 * MIB))
    await restartable.up()
    async with asyncio.timeout(30):
        rest = await waiting
    await source.close()
    await link.close()
    assert first + rest == data


async def test_a_download_goes_on_where_it_was_after_storage_came_back(restartable, tmp_path):
    storage = await restartable.up()
    data = os.urandom(5 * MIB)
    link = StorageLink(storage.grant(MediaAction.READ, await storage.put(data)), patience_s=30)
    source = StorageSource(link, len(data))
    begun = asyncio.Event()
    fetching = asyncio.create_task(
        fetch(source, tmp_path / "file", read_ahead_bytes=MIB, on_read=lambda _: begun.set())
    )
    async with asyncio.timeout(30):
        await begun.wait()
        await restartable.down()
        await restartable.up()
        await fetching
    await source.close()
    await link.close()
    assert (tmp_path / "file").read_bytes() == data


async def test_a_sink_goes_on_where_it_was_after_storage_came_back(
    restartable, index_last_mp4: Path
):
    storage = await restartable.up()
    data = index_last_mp4.read_bytes()
    link = StorageLink(storage.grant(MediaAction.WRITE), patience_s=30)
    sink = StorageSink(link, window_bytes=8 * MIB)
    await sink.open(Container.MP4)
    await sink.write(data[:50_000])
    await restartable.down()
    await sink.write(data[50_000:])
    await restartable.up()
    async with asyncio.timeout(30):
        committed = await sink.complete()
    await link.close()
    assert committed.census.complete
    assert [s.codec for s in committed.census.streams] == ["h264", "aac"]
    assert (
        committed.sha256
        == hashlib.sha256(
            await storage.get(committed.object_name.removeprefix("objects/"))
        ).hexdigest()
    )


async def test_a_storage_that_stays_away_is_an_error_and_not_for_ever(restartable):
    storage = await restartable.up()
    data = os.urandom(1000)
    object_id = await storage.put(data)
    await restartable.down()
    link = StorageLink(storage.grant(MediaAction.READ, object_id), patience_s=0.3)
    source = StorageSource(link, len(data))
    with pytest.raises(UnavailableError, match="no storage answers at"):
        async with asyncio.timeout(20):
            await source.read(0, 10)
    sink_link = StorageLink(storage.grant(MediaAction.WRITE), patience_s=0.3)
    with pytest.raises(UnavailableError, match="no storage answers at"):
        async with asyncio.timeout(20):
            await StorageSink(sink_link, window_bytes=MIB).open(Container.MKV)
    await source.close()
    await link.close()
    await sink_link.close()
    await restartable.up()


async def test_a_missing_object_is_an_error_at_once(storage):
    grant = storage.grant(MediaAction.READ)
    link = StorageLink(grant, patience_s=60)
    source = StorageSource(link, 10)
    with pytest.raises(NotFoundError):
        async with asyncio.timeout(10):
            await source.read(0, 10)
    await source.close()
    await link.close()


class Liar(pb_grpc.StorageServiceServicer):
    """A storage whose chunks do not match their checksums the first `lies` times."""

    def __init__(self, lies: int) -> None:
        self.lies = lies

    async def Read(self, request_iterator, context):  # noqa: N802
        async for request in request_iterator:
            data = b"x" * request.range.length
            crc = 0xE9BB8F5B if self.lies else _crc(data)
            self.lies = max(self.lies - 1, 0)
            chunk = object_pb2.Chunk(offset=request.range.offset, data=data, crc32c=crc)
            yield pb.ReadResponse(chunk=chunk, range_done=True)


def _crc(data: bytes) -> int:
    import google_crc32c  # noqa: PLC0415

    return int(google_crc32c.value(data))


@pytest.mark.parametrize(("lies", "survives"), [(1, True), (99, False)])
async def test_damaged_chunks_are_asked_for_again_but_not_for_ever(lies, survives):
    service = Service(
        name="distconv.v1.StorageService",
        authenticator=LocalAuthenticator(),
        register=lambda s: pb_grpc.add_StorageServiceServicer_to_server(Liar(lies), s),  # type: ignore[abstract]
    )
    server = await start_server(ServerSettings(bind="127.0.0.1:0"), [service])
    grant = MediaGrant(addresses=(server.address,), token="t", object_name="objects/o")
    link = StorageLink(grant, patience_s=10)
    source = StorageSource(link, 100)
    try:
        async with asyncio.timeout(20):
            if survives:
                assert await source.read(0, 100) == b"x" * 100
            else:
                with pytest.raises(DataLossError, match="damaged"):
                    await source.read(0, 100)
    finally:
        await source.close()
        await link.close()
        await server.stop()


async def test_a_sink_holds_no_more_than_its_window(storage):
    link = StorageLink(storage.grant(MediaAction.WRITE), patience_s=5)
    sink = StorageSink(link, window_bytes=MIB)
    await sink.open(Container.MKV)
    held = 0
    for _ in range(40):
        await sink.write(os.urandom(256 * 1024))
        held = max(held, sink.held_bytes)
    await sink.abort()
    await link.close()
    assert held <= MIB


class Silent(pb_grpc.StorageServiceServicer):
    """A storage that takes all and says nothing of it, on the first stream."""

    def __init__(self) -> None:
        self.streams = 0
        self.received = bytearray()

    async def GetUpload(self, request, context):  # noqa: N802
        return pb.GetUploadResponse(upload=object_pb2.Upload(name=request.name))

    async def Write(self, request_iterator, context):  # noqa: N802
        self.streams += 1
        silent = self.streams == 1
        async for request in request_iterator:
            size_bytes = len(request.chunk.data)
            if not size_bytes or silent:
                continue
            self.received += request.chunk.data
            durable = object_pb2.ByteRange(offset=request.chunk.offset, length=size_bytes)
            yield pb.WriteResponse(acknowledged=[durable], written_bytes=size_bytes)


async def test_a_storage_that_says_nothing_of_what_it_took_is_asked_anew(monkeypatch):
    monkeypatch.setattr("distconv.engine.write_stream._SILENCE_S", 0.2)
    silent = Silent()  # type: ignore[abstract]
    service = Service(
        name="distconv.v1.StorageService",
        authenticator=LocalAuthenticator(),
        register=lambda s: pb_grpc.add_StorageServiceServicer_to_server(silent, s),
    )
    server = await start_server(ServerSettings(bind="127.0.0.1:0"), [service])
    grant = MediaGrant(addresses=(server.address,), token="t", object_name="objects/o")
    link = StorageLink(grant, patience_s=10)
    data = os.urandom(MIB)
    try:
        stream = WriteStream(link, "uploads/u", Window(2 * MIB))
        async with asyncio.timeout(20):
            for start in range(0, len(data), CHUNK_BYTES):
                await stream.put(start, data[start : start + CHUNK_BYTES])
            await stream.finish()
        assert silent.received == data
        assert silent.streams == 2
    finally:
        await link.close()
        await server.stop()
