"""A folder that storage and engine both see: nothing is copied once the same bytes are proved."""

import asyncio
import os
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
from tests.unit.media.movies import with_compressed_index

from distconv.core.errors import DataLossError, FailedPreconditionError
from distconv.engine.shared_folder import find_shared
from distconv.engine.storage_link import StorageLink
from distconv.engine.work import MediaGrant
from distconv.rpc.channel import bearer_metadata, open_channel
from distconv.rpc.tokens import MediaAction
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb
from distconv.v1.storage_service_pb2_grpc import StorageServiceStub

MIB = 1024 * 1024


class Gauge:
    """A wire to storage that counts what comes down it."""

    def __init__(self, target: str) -> None:
        self._host, _, self._port = target.rpartition(":")
        self.down_bytes = 0
        self.address = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Gauge"]:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, out = await asyncio.open_connection(self._host, int(self._port))
        await asyncio.gather(
            self._pump(near, out, count=False),
            self._pump(far, back, count=True),
            return_exceptions=True,
        )

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, count: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                if count:
                    self.down_bytes += len(data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that storage keeps its objects in."""
    return tmp_path / "storage" / "storage"


@pytest.fixture
def large_mp4(index_last_mp4: Path, tmp_path: Path) -> Path:
    """The clip behind 3 MiB that no player shows."""
    path = tmp_path / "large.mp4"
    data = index_last_mp4.read_bytes()
    path.write_bytes(data + (8 + 3 * MIB).to_bytes(4, "big") + b"free" + os.urandom(3 * MIB))
    return path


@pytest.fixture(params=["streaming", "file"])
def room(request: pytest.FixtureRequest) -> int:
    """How much scratch disk there is; 0: it is streamed."""
    return 0 if request.param == "streaming" else 1 << 30


async def done_through(
    gauge: Gauge, storage: Storage, source: Path, scratch: Path, room: int, *shared: Path
) -> str:
    """Encode a source whose storage is at the end of `gauge`; return the output's digest."""
    object_id, media = await media_of(source, storage)
    async with gauge.open(), started_runner(scratch, *shared) as process:
        sink = storage.grant(MediaAction.WRITE)
        storage_there = storage.at(gauge.address)
        work = transcode_of(storage_there, object_id, media, "h264-480p", sink, by_file=room)
        process.assign(work, gauge.address)
        return str((await result_of(process)).transcode.sha256)


async def test_a_source_in_a_shared_folder_is_not_sent(
    storage: Storage, folder: Path, large_mp4: Path, tmp_path: Path, room: int
) -> None:
    sent, shared = Gauge(storage.address), Gauge(storage.address)
    over_wire = await done_through(sent, storage, large_mp4, tmp_path / "a", room)
    in_place = await done_through(shared, storage, large_mp4, tmp_path / "b", room, folder)
    assert over_wire == in_place != ""
    assert sent.down_bytes > 3 * MIB
    assert shared.down_bytes < 64 * 1024


async def test_a_mov_that_needs_seeking_is_read_in_place(
    storage: Storage, folder: Path, index_last_mp4: Path, tmp_path: Path
) -> None:
    mov = tmp_path / "seeking.mov"
    mov.write_bytes(with_compressed_index(index_last_mp4.read_bytes()))
    gauge = Gauge(storage.address)
    assert await done_through(gauge, storage, mov, tmp_path / "a", 1 << 30, folder)
    assert gauge.down_bytes < 64 * 1024


async def test_a_folder_that_is_not_storage_s_falls_back_and_says_so_once(
    storage: Storage, large_mp4: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    gauge = Gauge(storage.address)
    assert await done_through(gauge, storage, large_mp4, tmp_path / "a", 0, other)
    assert gauge.down_bytes > 3 * MIB
    assert (tmp_path / "a" / "shared-folder-not-proved").exists()
    said = [line for line in capfd.readouterr().err.splitlines() if "not_proved" in line]
    assert len(said) == 1
    assert "No such file" in said[0]


async def test_a_copy_that_differs_is_not_believed(storage: Storage, folder: Path) -> None:
    data = os.urandom(50_000)
    object_id = await storage.put(data)
    async with link_to(storage.grant(MediaAction.READ, object_id)) as link:
        source = await find_shared(link, len(data), [folder])
        assert source.path is not None
        assert await source.read(10, 100) == data[10:110]
        assert await source.read(49_990, 100) == data[49_990:]
        await source.close()
        with pytest.raises(DataLossError, match="other bytes"):
            await find_shared(link, len(data), [copy_with_flip(folder, source.path)])


def copy_with_flip(folder: Path, file: Path) -> Path:
    """Make another folder with the file in the same place, one bit of it flipped."""
    other = folder.parent / "mirror"
    target = other / file.relative_to(folder)
    target.parent.mkdir(parents=True)
    data = bytearray(file.read_bytes())
    data[25_000] ^= 1
    target.write_bytes(data)
    return other


async def test_while_it_is_uploaded_a_source_lies_nowhere(storage: Storage, folder: Path) -> None:
    data = os.urandom(1000)
    async with storage.upload(data) as upload:
        await upload.send(0, 1000)
        async with link_to(storage.grant(MediaAction.READ, upload.object_id)) as link:
            with pytest.raises(FailedPreconditionError):
                await find_shared(link, len(data), [folder])


@pytest.mark.parametrize(
    ("ranges", "code"),
    [
        ([(-1, 5)], "INVALID_ARGUMENT"),
        ([(0, -5)], "INVALID_ARGUMENT"),
        ([(999, 2)], "OUT_OF_RANGE"),
        ([(0, 2 * MIB)], "INVALID_ARGUMENT"),
        ([(0, 1)] * 65, "INVALID_ARGUMENT"),
    ],
)
async def test_what_cannot_be_proved_is_refused(
    storage: Storage, ranges: list[tuple[int, int]], code: str
) -> None:
    grant = storage.grant(MediaAction.READ, await storage.put(os.urandom(1000)))
    request = pb.LocateObjectRequest(
        name=grant.object_name,
        ranges=[object_pb2.ByteRange(offset=o, length=n) for o, n in ranges],
    )
    async with open_channel(storage.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await StorageServiceStub(channel).LocateObject(
                request, metadata=bearer_metadata(grant.token)
            )
    assert caught.value.code().name == code


@asynccontextmanager
async def link_to(grant: MediaGrant) -> AsyncIterator[StorageLink]:
    link = StorageLink(grant, patience_s=5)
    yield link
    await link.close()
