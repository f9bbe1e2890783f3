"""A local file on its way up: read, summed and digested off the event loop."""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import google_crc32c

from distconv.client.local import SourceChangedError, check_source
from distconv.core.errors import CorruptSourceError, InvalidArgumentError
from distconv.core.ranges import Range, pieces
from distconv.media.child import uncancelled
from distconv.rpc.limits import MAX_CHUNK_BYTES

# Read and summed in one visit to a thread: a visit costs about as much as summing 64 KiB. No chunk
# is longer.
_BLOCK_BYTES = MAX_CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk to be sent: where it lies, its bytes, their CRC32C."""

    offset: int
    data: bytes
    crc32c: int


class SourceFile:
    """A file that is being uploaded; `size_bytes` is its size when it was opened.

    The digest is made of the same bytes that are sent, once, in order; what was
    sent out of order is read again at the end. It is told only of a file that is
    as it was when it was opened: what is half written must not be committed.
    """

    def __init__(self, file: BinaryIO, *, size_bytes: int, name: str, owned: bool) -> None:
        self._file = file
        self._owned = owned
        self._digest = hashlib.sha256()
        self._digested = 0
        self._whole = ""
        self._opened = _version(file)
        self.size_bytes = size_bytes
        self.name = name

    @classmethod
    def open(cls, source: Path | BinaryIO) -> Self:
        """Open a path, or take over an open seekable binary file, from its beginning.

        Raises what `check_source` raises.
        """
        if isinstance(source, Path):
            size = check_source(source)
            try:
                return cls(source.open("rb"), size_bytes=size, name=source.name, owned=True)
            except OSError as error:
                raise InvalidArgumentError(
                    f"the input '{source}' cannot be read: {error.strerror}", field="source"
                ) from error
        size = source.seek(0, os.SEEK_END)
        if size == 0:
            raise CorruptSourceError("the input is empty (0 bytes); there is no video in it")
        name = Path(str(getattr(source, "name", ""))).name
        return cls(source, size_bytes=size, name=name, owned=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._owned:
            self._file.close()

    async def chunks(
        self, missing: Iterable[Range], chunk_bytes: Callable[[], int]
    ) -> AsyncGenerator[Chunk, None]:
        """Yield the bytes of ranges as chunks; the next block is read while one is sent.

        `chunk_bytes` says how long chunks are to be from now on. Raises what `read` does.
        """
        reading: asyncio.Task[list[Chunk]] | None = None
        try:
            for start, end in pieces(missing, _BLOCK_BYTES):
                read = [] if reading is None else await reading
                reading = asyncio.create_task(self.read(start, end, chunk_bytes=chunk_bytes()))
                for piece in read:
                    yield piece
            for piece in [] if reading is None else await reading:
                yield piece
        finally:
            if reading is not None:
                await asyncio.wait([reading])

    async def read(self, start: int, end: int, *, chunk_bytes: int) -> list[Chunk]:
        """Return the bytes from `start` to before `end`, cut into chunks of at most `chunk_bytes`.

        A caller that is cancelled meanwhile waits for the thread first: nobody else may read the
        file, and digest it, before that has ended.

        Raises SourceChangedError when the file has become shorter.
        """
        return await uncancelled(asyncio.to_thread(self._read, start, end, chunk_bytes))

    async def peek(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range, fewer at the end; for a look at what the file is."""
        end = min(offset + length, self.size_bytes)
        return await asyncio.to_thread(self._take, offset, end) if offset < end else b""

    async def sha256(self) -> str:
        """Return the digest of the whole file, hexadecimal.

        Raises SourceChangedError when it was written to since it was opened.
        """
        return await asyncio.to_thread(self._finish_digest)

    def _read(self, start: int, end: int, chunk_bytes: int) -> list[Chunk]:
        data = self._take(start, end)
        if start <= self._digested < end:
            self._digest.update(memoryview(data)[self._digested - start :])
            self._digested = end
        return [
            Chunk(start + at, part, google_crc32c.value(part))
            for at in range(0, len(data), chunk_bytes)
            for part in (data[at : at + chunk_bytes],)
        ]

    def _take(self, start: int, end: int) -> bytes:
        try:
            self._file.seek(start)
            data = self._file.read(end - start)
        except OSError as error:
            raise InvalidArgumentError(
                f"reading the input '{self.name}' failed: {error.strerror or error}",
                field="source",
            ) from error
        if len(data) != end - start:
            raise SourceChangedError(
                f"the input '{self.name}' became shorter while it was being uploaded; "
                "let whatever writes it end first"
            )
        return data

    def _finish_digest(self) -> str:
        while self._digested < self.size_bytes:
            end = min(self._digested + _BLOCK_BYTES, self.size_bytes)
            self._digest.update(self._take(self._digested, end))
            self._digested = end
        if not self._whole:  # once: whoever asks again may have committed it meanwhile
            self._require_unchanged()
            self._whole = self._digest.hexdigest()
        return self._whole

    def _require_unchanged(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        if size != self.size_bytes or _version(self._file) != self._opened:
            raise SourceChangedError(
                f"the input '{self.name}' was written to while it was being uploaded; "
                "let whatever writes it end first"
            )


def _version(file: BinaryIO) -> tuple[int, int] | None:
    """Return what changes when a file is written to; None where it is none of the system's."""
    try:
        found = os.fstat(file.fileno())
    except (AttributeError, OSError):  # in memory
        return None
    return found.st_size, found.st_mtime_ns
