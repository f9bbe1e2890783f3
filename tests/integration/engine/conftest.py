"""A real storage server, and small clips made by the real ffmpeg."""

import hashlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import google_crc32c
import pytest
from tests.faulty_s3 import FaultyS3, faulty_s3

from distconv.core.clock import SystemClock
from distconv.core.ids import new_id
from distconv.engine.work import MediaGrant
from distconv.media.ffmpeg import bundled_ffmpeg
from distconv.rpc.channel import bearer_metadata, open_channel
from distconv.rpc.embedding import EmbedContext, find_embeddable
from distconv.rpc.server import ServerSettings, start_server
from distconv.rpc.tokens import KEY_BYTES, MediaAction, MediaTokens
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb
from distconv.v1.storage_service_pb2_grpc import StorageServiceStub
from servers import S3Server

if TYPE_CHECKING:  # a class of the stubs alone
    from distconv.v1.storage_service_pb2_grpc import StorageServiceAsyncStub


@pytest.fixture
def between(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """What stands between engines and the bucket; storage goes to the bucket itself."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    with faulty_s3(s3.address) as proxy:
        yield proxy


class Storage:
    """A storage server with what a dispatch would do for it."""

    def __init__(self, address: str, tokens: MediaTokens, folder: Path) -> None:
        self.address = address
        self._tokens = tokens
        self.folder = folder

    def content(self, object_id: str) -> Path:
        """Return the file in which an object's bytes lie."""
        (path,) = self.folder.rglob(f"objects/local/data/{object_id}.*")
        return path

    def at(self, address: str) -> "Storage":
        """Return the same storage as it is reached by another way."""
        return Storage(address, self._tokens, self.folder)

    def grant(self, action: MediaAction, object_id: str | None = None) -> MediaGrant:
        name = object_id or new_id(SystemClock().now())
        token, _ = self._tokens.sign(
            tenant="local",
            subject="test",
            object_id=name,
            action=action,
            ttl=timedelta(minutes=5),
        )
        return MediaGrant(addresses=(self.address,), token=token, object_name=f"objects/{name}")

    async def put(self, data: bytes) -> str:
        """Store `data`; return the object's id."""
        async with self.upload(data) as upload:
            await upload.send(0, len(data))
            await upload.complete()
        return upload.object_id

    @asynccontextmanager
    async def upload(self, data: bytes) -> AsyncIterator["Upload"]:
        """Open an upload of `data`, of which nothing is sent yet."""
        async with open_channel(self.address) as channel:
            upload = Upload(self.grant(MediaAction.WRITE), StorageServiceStub(channel), data)
            await upload.open()
            yield upload

    async def sign_of_waiting(self, object_id: str, offset: int) -> None:
        """Follow an upload until storage says that a byte which is missing is waited for."""
        grant = self.grant(MediaAction.READ, object_id)
        async with open_channel(self.address) as channel:
            call = StorageServiceStub(channel).Read(metadata=bearer_metadata(grant.token))
            wanted = object_pb2.ByteRange(offset=offset, length=1)
            await call.write(pb.ReadRequest(object=grant.object_name, range=wanted, follow=True))
            async for response in call:
                if response.waiting:
                    return

    async def get(self, object_id: str) -> bytes:
        """Return a stored object's bytes."""
        grant = self.grant(MediaAction.READ, object_id)
        async with open_channel(self.address) as channel:
            call = StorageServiceStub(channel).Read(metadata=bearer_metadata(grant.token))
            await call.write(
                pb.ReadRequest(object=grant.object_name, range=object_pb2.ByteRange(offset=0))
            )
            await call.done_writing()
            return b"".join([r.chunk.data async for r in call])


class Upload:
    """An upload under way, of which the test decides what arrives when."""

    def __init__(self, grant: MediaGrant, stub: "StorageServiceAsyncStub", data: bytes) -> None:
        self._grant = grant
        self._stub = stub
        self._data = data
        self._metadata = bearer_metadata(grant.token)
        self._name = ""
        self.is_complete = False

    @property
    def object_id(self) -> str:
        return self._grant.object_name.removeprefix("objects/")

    async def open(self) -> None:
        answer = await self._stub.CreateUpload(
            pb.CreateUploadRequest(object=self._grant.object_name, size_bytes=len(self._data)),
            metadata=self._metadata,
        )
        self._name = answer.upload.name

    async def send(self, start: int, end: int) -> None:
        """Send the bytes from `start` to before `end`, and wait until they are durable."""

        async def requests() -> AsyncIterator[pb.WriteRequest]:
            yield pb.WriteRequest(upload=self._name)
            for at in range(start, end, 256 * 1024):
                piece = self._data[at : min(at + 256 * 1024, end)]
                crc32c = google_crc32c.value(piece)
                yield pb.WriteRequest(chunk=object_pb2.Chunk(offset=at, data=piece, crc32c=crc32c))

        async for _ in self._stub.Write(requests(), metadata=self._metadata):
            pass

    async def complete(self, sha256: str = "") -> None:
        await self._stub.CompleteUpload(
            pb.CompleteUploadRequest(
                name=self._name,
                size_bytes=len(self._data),
                sha256=sha256 or hashlib.sha256(self._data).hexdigest(),
            ),
            metadata=self._metadata,
        )
        self.is_complete = True

    async def abort(self) -> None:
        await self._stub.AbortUpload(
            pb.AbortUploadRequest(name=self._name), metadata=self._metadata
        )


@pytest.fixture
async def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Storage]:
    monkeypatch.setenv("DISTCONV_STORAGE_FOLLOW_SIGN_S", "1")
    tokens = MediaTokens(b"k" * KEY_BYTES, SystemClock())
    embedded = find_embeddable("storage")(
        EmbedContext(data_dir=tmp_path / "storage", tokens=tokens, clock=SystemClock())
    )
    await embedded.start()
    server = await start_server(ServerSettings(bind="127.0.0.1:0"), embedded.services)
    yield Storage(server.address, tokens, tmp_path / "storage")
    await server.stop()
    await embedded.stop()


@pytest.fixture(scope="session")
def index_last_mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of 320×180 with sound, index last, as cameras write it."""
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    subprocess.run(
        [str(bundled_ffmpeg()), "-v", "error", "-nostdin"]
        + ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=2"]
        + ["-f", "lavfi", "-i", "sine=sample_rate=48000:duration=2"]
        + ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"]
        + [str(path)],
        check=True,
    )
    return path
