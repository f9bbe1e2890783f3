"""Write an output to storage: open its upload, bring the bytes there, have it committed."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from distconv.core.errors import DistconvError, InternalError
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.profile import Container
from distconv.engine.backoff import Pause
from distconv.engine.direct_writer import DirectWriter
from distconv.engine.storage_link import StorageLink
from distconv.engine.write_stream import WriteStream
from distconv.media.ports import Buffer
from distconv.rpc.convert import media, profile
from distconv.rpc.limits import CHUNK_BYTES
from distconv.rpc.window import Window
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb

# Finishing copies the whole file; even a slow disk moves 10 MB/s, and this is 360 GB of it.
_COMPLETE_TIMEOUT_S = 10 * 3600.0
_ABORT_TIMEOUT_S = 2.0

_NO_LABELS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """An output that is whole at storage, with what was found in it there."""

    object_name: str
    size_bytes: int
    sha256: str
    media: MediaInfo
    census: MediaCensus


class Carrier(Protocol):
    """Bring pieces of an output to its open upload; holds as many as its window lets it."""

    async def put(self, offset: int, data: bytes) -> None:
        """Take a piece, waiting while the window is full. Raises the tree's errors."""
        ...

    async def finish(self) -> None:
        """Wait until all has arrived; nothing is put any more. Raises the tree's errors."""
        ...

    async def close(self) -> None:
        """Let go, whatever is under way; harmless when repeated."""
        ...


class StorageSink:
    """A ByteSink to storage; `open` first, then `write`, then `complete` or `abort`.

    Holds at most `window_bytes` that have not arrived. With `direct` they go into
    storage's bucket itself where storage has one and lets them.
    """

    def __init__(
        self,
        link: StorageLink,
        *,
        window_bytes: int,
        direct: bool = False,
        labels: Mapping[str, str] = _NO_LABELS,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """`labels` are those of the object that is written; `pause` is between direct tries."""
        self._link = link
        self._labels = labels
        self._window = Window(window_bytes)
        self._direct = direct
        self._pause = pause
        self._upload = ""
        self._offset = 0
        self._digest = hashlib.sha256()
        self._carrier: Carrier | None = None

    @property
    def written_bytes(self) -> int:
        """Return how much was written so far."""
        return self._offset

    @property
    def held_bytes(self) -> int:
        """Return how much was written and is not known to have arrived."""
        return self._window.taken_bytes

    async def open(self, container: Container) -> None:
        """Open the upload. Raises the tree's errors."""
        request = pb.CreateUploadRequest(
            object=self._link.grant.object_name,
            finish=object_pb2.FinishSpec(container=profile.container(container)),
            labels=self._labels,
        )
        answer = await self._link.unary(
            lambda: self._link.stub.CreateUpload(request, metadata=self._link.metadata)
        )
        self._upload = answer.upload.name
        if self._direct and answer.signs_segments:
            self._carrier = DirectWriter(self._link, self._upload, self._window, pause=self._pause)
        else:
            self._carrier = WriteStream(self._link, self._upload, self._window)

    async def write(self, data: Buffer) -> None:
        """Take `data`, waiting while the window is full. Raises the tree's errors."""
        view = memoryview(data)
        for start in range(0, len(view), CHUNK_BYTES):
            piece = bytes(view[start : start + CHUNK_BYTES])
            await self._opened().put(self._offset, piece)
            self._digest.update(piece)
            self._offset += len(piece)

    def _opened(self) -> Carrier:
        if self._carrier is None:
            raise InternalError("an output was written before its upload was opened")
        return self._carrier

    async def complete(self) -> Committed:
        """Send the rest, have it finished and committed. Raises the tree's errors."""
        await self._opened().finish()
        request = pb.CompleteUploadRequest(
            name=self._upload, size_bytes=self._offset, sha256=self._digest.hexdigest()
        )
        answer = await self._link.unary(
            lambda: self._link.stub.CompleteUpload(request, metadata=self._link.metadata),
            timeout_s=_COMPLETE_TIMEOUT_S,
        )
        if not answer.HasField("report"):
            raise InternalError("storage committed the output without a report of it")
        return Committed(
            object_name=answer.object.name,
            size_bytes=answer.object.size_bytes,
            sha256=answer.object.sha256,
            media=media.to_media_info(answer.report.media),
            census=media.to_media_census(answer.report.census),
        )

    async def abort(self) -> None:
        """Give the upload up; what cannot be told to storage expires there."""
        if self._carrier is not None:
            await self._carrier.close()
        if self._upload:
            try:
                with self._link.translated():
                    await self._link.stub.AbortUpload(
                        pb.AbortUploadRequest(name=self._upload),
                        metadata=self._link.metadata,
                        timeout=_ABORT_TIMEOUT_S,
                    )
            except DistconvError:
                pass
