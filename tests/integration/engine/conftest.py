"""A real storage server, and small clips made by the real ffmpeg."""

import hashlib
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import google_crc32c
import pytest

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


class Storage:
    """A storage server with what a dispatch would do for it."""

    def __init__(self, address: str, tokens: MediaTokens) -> None:
        self.address = address
        self._tokens = tokens

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
        grant = self.grant(MediaAction.WRITE)
        meta = bearer_metadata(grant.token)
        async with open_channel(self.address) as channel:
            stub = StorageServiceStub(channel)
            answer = await stub.CreateUpload(
                pb.CreateUploadRequest(object=grant.object_name, size_bytes=len(data)),
                metadata=meta,
            )
            name = answer.upload.name

            async def requests() -> AsyncIterator[pb.WriteRequest]:
                yield pb.WriteRequest(upload=name)
                for start in range(0, len(data), 256 * 1024):
                    piece = data[start : start + 256 * 1024]
                    yield pb.WriteRequest(
                        chunk=object_pb2.Chunk(
                            offset=start, data=piece, crc32c=google_crc32c.value(piece)
                        )
                    )

            async for _ in stub.Write(requests(), metadata=meta):
                pass
            await stub.CompleteUpload(
                pb.CompleteUploadRequest(
                    name=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest()
                ),
                metadata=meta,
            )
        return grant.object_name.removeprefix("objects/")

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


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    tokens = MediaTokens(b"k" * KEY_BYTES, SystemClock())
    embedded = find_embeddable("storage")(
        EmbedContext(data_dir=tmp_path / "storage", tokens=tokens, clock=SystemClock())
    )
    await embedded.start()
    server = await start_server(ServerSettings(bind="127.0.0.1:0"), embedded.services)
    yield Storage(server.address, tokens)
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
