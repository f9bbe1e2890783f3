"""What tests of storage need: a clock to move, a finisher without media, a server, a caller."""

import asyncio
import contextlib
import hashlib
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import google_crc32c
import grpc.aio

from distconv.core.clock import Clock, SystemClock
from distconv.core.errors import DistconvError, UnavailableError
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.profile import Container
from distconv.core.ranges import Range
from distconv.rpc.channel import bearer_metadata, open_channel
from distconv.rpc.errors import translated
from distconv.rpc.server import ServerSettings, start_server
from distconv.rpc.tokens import MediaAction, MediaTokens
from distconv.storage.app import StorageApp
from distconv.storage.finish import Finisher
from distconv.storage.records import Finished
from distconv.storage.service import storage_service
from distconv.storage.settings import StorageSettings
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb
from distconv.v1.storage_service_pb2_grpc import StorageServiceStub

CHUNK_BYTES = 64 * 1024
OBJECT_ID = "0abcdefgh1234567"
TIMEOUT_S = 20.0


class SteppedClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self._now = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self._now

    def monotonic(self) -> float:
        """Return the same as seconds."""
        return self._now.timestamp()

    def step(self, span: timedelta) -> None:
        """Move it."""
        self._now += span


@dataclass
class FakeFinisher:
    """Finish by a copy with a header; set `started`, wait for `gate`, raise `error` if any."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    error: DistconvError | None = None
    calls: int = 0
    cancelled: int = 0

    async def finish(self, source: Path, target: Path, container: Container) -> Finished:
        """Copy, once the gate is open."""
        self.calls += 1
        self.started.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        await asyncio.to_thread(_copy_with_header, source, target, container)
        info = MediaInfo(container=container, size_bytes=1, duration_s=2.5, bit_rate=0, streams=())
        census = MediaCensus(container=container, read_bytes=1, streams=(), complete=True)
        return Finished(media=info, census=census)


def finished_content(content: bytes, container: Container) -> bytes:
    """Return what FakeFinisher makes of `content`."""
    return container.encode() + content


def _copy_with_header(source: Path, target: Path, container: Container) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        write.write(finished_content(b"", container))
        shutil.copyfileobj(read, write)


def chunk(content: bytes, start: int, end: int) -> object_pb2.Chunk:
    """Return the chunk of `content` that lies there."""
    data = content[start:end]
    return object_pb2.Chunk(offset=start, data=data, crc32c=google_crc32c.value(data))


def cut(content: bytes, *, size: int = CHUNK_BYTES) -> list[object_pb2.Chunk]:
    """Return `content` as chunks."""
    return [chunk(content, at, at + size) for at in range(0, len(content), size)]


class Caller:
    """Call a storage service with tokens of one's own making; errors are the tree's."""

    def __init__(self, address: str, tokens: MediaTokens, *, tenant: str = "local") -> None:
        self._channel = open_channel(address)
        self._tokens = tokens
        self._tenant = tenant
        self.stub = StorageServiceStub(self._channel)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()

    def token(
        self,
        action: MediaAction,
        object_id: str = OBJECT_ID,
        *,
        ttl: timedelta = timedelta(minutes=5),
    ) -> Sequence[tuple[str, str]]:
        """Return the metadata of a call that may do that."""
        signed, _ = self._tokens.sign(
            tenant=self._tenant, subject="test", object_id=object_id, action=action, ttl=ttl
        )
        return bearer_metadata(signed)

    async def create(
        self,
        size_bytes: int = 0,
        *,
        object_id: str = OBJECT_ID,
        finish: object_pb2.FinishSpec | None = None,
    ) -> object_pb2.Upload:
        """Open an upload."""
        request = pb.CreateUploadRequest(
            object=f"objects/{object_id}", size_bytes=size_bytes, finish=finish
        )
        with translated():
            answer = await self.stub.CreateUpload(
                request, metadata=self.token(MediaAction.WRITE, object_id), timeout=TIMEOUT_S
            )
        return answer.upload

    def begin_write(
        self, upload: object_pb2.Upload
    ) -> "grpc.aio.StreamStreamCall[pb.WriteRequest, pb.WriteResponse]":
        """Begin a stream of chunks; its first message has to name the upload."""
        object_id = upload.object.removeprefix("objects/")
        return self.stub.Write(metadata=self.token(MediaAction.WRITE, object_id), timeout=TIMEOUT_S)

    async def write(
        self, upload: object_pb2.Upload, chunks: Iterable[object_pb2.Chunk]
    ) -> list[Range]:
        """Send chunks on one stream and return what was acknowledged, as starts and ends."""
        while True:
            try:
                return await self._write(upload, list(chunks))
            except UnavailableError:  # the write broke before the cause was read
                await asyncio.sleep(0.01)

    async def _write(
        self, upload: object_pb2.Upload, chunks: Iterable[object_pb2.Chunk]
    ) -> list[Range]:
        call = self.begin_write(upload)

        async def send() -> None:
            await call.write(pb.WriteRequest(upload=upload.name))
            for piece in chunks:
                await call.write(pb.WriteRequest(chunk=piece))
            await call.done_writing()

        sending = asyncio.create_task(send())
        acknowledged: list[Range] = []
        try:
            with translated():
                async for response in call:
                    acknowledged += ((r.offset, r.offset + r.length) for r in response.acknowledged)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return acknowledged

    async def get_upload(self, upload: object_pb2.Upload) -> object_pb2.Upload:
        """Ask what has arrived."""
        object_id = upload.object.removeprefix("objects/")
        with translated():
            answer = await self.stub.GetUpload(
                pb.GetUploadRequest(name=upload.name),
                metadata=self.token(MediaAction.WRITE, object_id),
                timeout=TIMEOUT_S,
            )
        return answer.upload

    async def complete(
        self, upload: object_pb2.Upload, content: bytes, *, sha256: str | None = None
    ) -> pb.CompleteUploadResponse:
        """Complete an upload of `content`."""
        object_id = upload.object.removeprefix("objects/")
        request = pb.CompleteUploadRequest(
            name=upload.name,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest() if sha256 is None else sha256,
        )
        with translated():
            return await self.stub.CompleteUpload(
                request, metadata=self.token(MediaAction.WRITE, object_id), timeout=TIMEOUT_S
            )

    async def abort(self, upload: object_pb2.Upload) -> None:
        """Give an upload up."""
        object_id = upload.object.removeprefix("objects/")
        with translated():
            await self.stub.AbortUpload(
                pb.AbortUploadRequest(name=upload.name),
                metadata=self.token(MediaAction.WRITE, object_id),
                timeout=TIMEOUT_S,
            )

    async def put(self, content: bytes, *, object_id: str = OBJECT_ID) -> object_pb2.Object:
        """Upload `content` whole and return the object."""
        upload = await self.create(len(content), object_id=object_id)
        await self.write(upload, cut(content))
        return (await self.complete(upload, content)).object

    async def read(
        self, ranges: Iterable[Range] = ((0, 0),), *, object_id: str = OBJECT_ID
    ) -> list[bytes]:
        """Return the bytes of each range (offset, length), checked against their CRC32C."""
        call = self.stub.Read(metadata=self.token(MediaAction.READ, object_id), timeout=TIMEOUT_S)
        found = [b""]
        with translated():
            with contextlib.suppress(asyncio.InvalidStateError):  # refused: reading says why
                await call.write(pb.ReadRequest(object=f"objects/{object_id}"))
                for offset, length in ranges:
                    asked = object_pb2.ByteRange(offset=offset, length=length)
                    await call.write(pb.ReadRequest(range=asked))
                await call.done_writing()
            async for response in call:
                data = response.chunk.data
                if google_crc32c.value(data) != response.chunk.crc32c:
                    raise AssertionError("a chunk does not match its checksum")
                found[-1] += data
                if response.range_done:
                    found.append(b"")
        return found[:-1]

    async def follow(
        self, *ranges: Range, object_id: str = OBJECT_ID
    ) -> AsyncGenerator[pb.ReadResponse, None]:
        """Follow an upload: yield what comes for the ranges (offset, length)."""
        call = self.stub.Read(metadata=self.token(MediaAction.READ, object_id), timeout=TIMEOUT_S)
        try:
            with translated():
                with contextlib.suppress(asyncio.InvalidStateError):  # refused: reading says why
                    await call.write(pb.ReadRequest(object=f"objects/{object_id}", follow=True))
                    for offset, length in ranges:
                        asked = object_pb2.ByteRange(offset=offset, length=length)
                        await call.write(pb.ReadRequest(range=asked))
                    await call.done_writing()
                while isinstance(response := await call.read(), pb.ReadResponse):
                    yield response
        finally:
            call.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStorage:
    """A storage service that listens."""

    address: str
    app: StorageApp
    tokens: MediaTokens

    @asynccontextmanager
    async def caller(self, *, tenant: str = "local") -> AsyncIterator[Caller]:
        """Lend a caller."""
        caller = Caller(self.address, self.tokens, tenant=tenant)
        try:
            yield caller
        finally:
            await caller.close()


@asynccontextmanager
async def running_storage(
    folder: Path,
    *,
    clock: Clock | None = None,
    finisher: Finisher | None = None,
    key: bytes = bytes(32),
    **settings: object,
) -> AsyncIterator[RunningStorage]:
    """Run a storage service on `folder` at a free port."""
    clock = clock or SystemClock()
    app = StorageApp(
        StorageSettings.model_validate({"data_dir": folder, "min_free_bytes": 0, **settings}),
        clock,
        finisher=finisher,
    )
    tokens = MediaTokens(key, clock)
    try:
        await app.start()
        server = await start_server(
            ServerSettings(bind="127.0.0.1:0", drain_grace=timedelta(0)),
            [storage_service(app, tokens)],
        )
        try:
            yield RunningStorage(address=server.address, app=app, tokens=tokens)
        finally:
            await server.stop()
    finally:
        await app.stop()
