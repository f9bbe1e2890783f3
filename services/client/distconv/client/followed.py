"""An object that is followed into a file, and put in its place once it is whole."""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from distconv.client.assembling import assemble
from distconv.client.connection import Connection
from distconv.client.download import download
from distconv.client.following import follow
from distconv.client.partial import PartialFile, stream_key
from distconv.client.stored import Direction, StoredObject, Transfer
from distconv.core.errors import DataLossError, MediaError
from distconv.core.names import bare


class FollowedFile:
    """Follow an object beside `path`, then put it at `path`, checked by its digest.

    Use it as an async context manager; leaving it removes what is not in its place.
    With `resume` it stays beside `path` instead, unless it was dropped, and the next
    that follows the same object there goes on with it.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        path: Path,
        *,
        overwrite: bool,
        resume: bool = False,
        on_progress: Callable[[Transfer], None] | None = None,
    ) -> None:
        self.name = name
        self._key = bare(name, "objects") if resume else ""
        self._connection = connection
        self._path = path
        self._overwrite = overwrite
        self._on_progress = on_progress
        self._is_whole = False  # followed to the end of the stream
        # Other bytes than the object's, if that is finished: what a download of it keeps is apart.
        key = stream_key(self._key) if resume else ""
        self._stream = PartialFile(path, overwrite=overwrite, resume_key=key)

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stream.__aexit__(kind, error, trace)

    @property
    def followed_bytes(self) -> int:
        """Return how much is there, with what an earlier one has left."""
        return self._stream.written_bytes

    def drop(self) -> None:
        """Remove what was followed and is not in its place; harmless when repeated."""
        self._stream.drop()

    async def follow(self) -> StoredObject:
        """Fetch what is sent while it is sent; return the object once it is committed.

        Raises UploadFailedError, DiskFullError.
        """
        stored = await follow(self._connection, self.name, self._stream, self._on_progress)
        self._is_whole = True
        return stored

    async def place(self, stored: StoredObject) -> StoredObject:
        """Put the committed object at its path, of what was followed as far as that goes.

        What does not fit, for whatever reason, is fetched as any other object.
        Raises what `Client.download` does.
        """
        size_bytes, sha256 = stored.size_bytes, stored.sha256
        if self._stream.is_whole(size_bytes=size_bytes, sha256=sha256):
            await self._stream.commit(size_bytes=size_bytes, sha256=sha256)
        elif not await self._is_assembled(stored):
            self.drop()
            async with PartialFile(
                self._path, overwrite=self._overwrite, resume_key=self._key
            ) as target:
                return await download(self._connection, stored.name, target, self._on_progress)
        self.drop()
        self._report(size_bytes, size_bytes)
        return stored

    async def _is_assembled(self, stored: StoredObject) -> bool:
        """Put the object together of its stream; False when that cannot be done."""
        if not self._stream.written_bytes:
            return False
        try:
            async with PartialFile(self._path, overwrite=self._overwrite) as target:
                await assemble(
                    self._connection,
                    stored,
                    self._stream,
                    target,
                    is_whole=self._is_whole,
                    on_written=lambda: self._report(target.written_bytes, stored.size_bytes),
                )
                await target.commit(size_bytes=stored.size_bytes, sha256=stored.sha256)
        except (MediaError, DataLossError):
            return False
        return True

    def _report(self, done_bytes: int, total_bytes: int) -> None:
        if self._on_progress is not None:
            self._on_progress(
                Transfer(
                    direction=Direction.DOWNLOAD,
                    done_bytes=max(0, done_bytes),
                    total_bytes=total_bytes,
                )
            )
