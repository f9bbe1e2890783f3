"""A staging in an object store: what a sync gathers becomes a segment, an object of the bucket.

An object store has no bytes that may be written in any order, so the parts of
an upload lie as objects named by their range until the upload is completed.
Any process finds them by listing; completing reads them once, in order, into
the content. What was written and not yet synced lies in memory, and is lost
with the process: nobody was told that it is safe. Others may be given URLs to
put segments of their own beside these.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

from distconv.core.clock import Clock
from distconv.core.errors import (
    DataLossError,
    DistconvError,
    InternalError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
)
from distconv.core.ranges import Range, RangeSet, pieces
from distconv.core.signed import SignedPut
from distconv.media.child import uncancelled
from distconv.storage.limits import SEGMENT_URL_TTL
from distconv.storage.providers.disk_errors import disk_errors
from distconv.storage.providers.ledger import Ledger
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_content import fetched_ahead, publish
from distconv.storage.providers.object_layout import Layout, Part, Segment
from distconv.storage.providers.port import Piece, Published
from distconv.storage.providers.sections import OBJECTS
from distconv.storage.threads import Threads

# Segments of one sync on their way at a time.
_PUTS_AT_ONCE = 4
# Says that a staging is there as long as it has no segment, and when it was made.
MARK = "open"


class ObjectStaging:
    """Implement `Staging` with segments; made by `ObjectStoreProvider.stage`."""

    copies = True

    def __init__(
        self, *, key: str, folder: str, bucket: Bucket, threads: Threads, clock: Clock
    ) -> None:
        """`folder` is the path that the segments lie below; `key` is for messages."""
        self._key = key
        self._folder = folder
        self._bucket = bucket
        self._threads = threads
        self._clock = clock
        self._layout = Layout()
        self._ledger = Ledger()
        self._spoiled: set[Segment] = set()
        self._readers = 0
        self._discarded = False

    @property
    def written(self) -> RangeSet:
        """Return what was written."""
        return self._ledger.written

    @property
    def durable(self) -> RangeSet:
        """Return what lies in the bucket."""
        return self._ledger.durable

    @property
    def spoiled(self) -> Sequence[Range]:
        """Return the segments that have another length now than when they were counted."""
        return sorted((segment.start, segment.end) for segment in self._spoiled)

    @property
    def unsynced_bytes(self) -> int:
        """Return how much was written since the last sync began."""
        return self._ledger.unsynced_bytes

    async def open(self) -> Self:
        """Learn what is there; leave a mark when nothing is."""
        if not await self._find():
            await self._bucket.put(f"{self._folder}/{MARK}", b"", key=self._key)
        return self

    async def refresh(self) -> None:
        """Learn what other processes have put there."""
        await self._find()

    async def _find(self) -> bool:
        found = await self._bucket.list(self._folder)
        stale: list[str] = []
        for each in found:
            segment = Segment.parse(each.path.rpartition("/")[2])
            if segment is None:
                continue
            # Who was given a URL may put anything there: a segment holds what its name says.
            if segment.size_bytes == each.size_bytes:
                self._note(segment)
                self._spoiled.discard(segment)
            elif self._layout.uses(segment):
                self._spoiled.add(segment)
            elif each.modified_time + SEGMENT_URL_TTL < self._clock.now():
                stale.append(each.path)  # nobody is about to put the right bytes there any more
        if stale:
            await self._bucket.delete(stale)
        return bool(found)

    def _note(self, segment: Segment) -> None:
        self._layout.found(segment)
        self._ledger.note_found((segment.start, segment.end))

    @property
    def signs(self) -> bool:
        """Say whether the bucket gives out URLs."""
        return self._bucket.signs

    async def sign(self, start: int, end: int, ttl: timedelta) -> SignedPut:
        """Sign a URL for a segment."""
        return await self._bucket.sign_put(
            self._path(Segment(start=start, end=end)), ttl, key=self._key
        )

    async def confirm(self, start: int, end: int) -> None:
        """Look whether a segment is there and as long as it has to be."""
        if not self.signs:
            raise UnimplementedError("this storage gives out no URLs of its bucket: use Write")
        segment = Segment(start=start, end=end)
        path = self._path(segment)
        try:
            size_bytes = (await self._bucket.head(path, key=self._key)).size_bytes
        except NotFoundError as error:
            raise DataLossError(
                f"bytes {start} to {end - 1} of {self._key} are not in the bucket: put them again"
            ) from error
        if size_bytes != segment.size_bytes:
            await self._bucket.delete([path])
            raise DataLossError(
                f"{size_bytes} bytes were put as bytes {start} to {end - 1} of {self._key}; they "
                "are removed: put them again"
            )
        self._note(segment)

    def _path(self, segment: Segment) -> str:
        return f"{self._folder}/{segment.name}"

    async def write(self, pieces: Sequence[Piece]) -> None:
        """Keep pieces in memory until the next sync."""
        self._layout.hold(pieces)
        self._ledger.note_written(pieces)

    async def sync(self) -> None:
        """Put what is in memory into the bucket."""
        ranges = self._ledger.begin_sync()
        turns = asyncio.Semaphore(_PUTS_AT_ONCE)
        runs = self._layout.runs(ranges, self._bucket.part_bytes)
        done = await asyncio.gather(
            *(self._store(run, turns) for run in runs), return_exceptions=True
        )
        failed = [error for error in done if error is not None]
        if failed:
            self._layout.drop_held()
            self._ledger.lose()
            raise next((e for e in failed if isinstance(e, DistconvError)), failed[0])
        self._ledger.note_durable(ranges)

    async def _store(self, run: Sequence[Part], turns: asyncio.Semaphore) -> None:
        segment = Segment(start=run[0].start, end=run[-1].end)
        data = b"".join(part.data for part in run if part.data is not None)
        async with turns:
            await self._bucket.put(self._path(segment), data, key=self._key)
        self._layout.stored(segment)

    async def read(self, offset: int, length: int) -> bytes:
        """Return bytes that were written."""
        parts = list(self._layout.parts(offset, offset + length))
        found = await asyncio.gather(*map(self._fetch, parts))
        return found[0] if len(found) == 1 else b"".join(found)

    async def _fetch(self, part: Part) -> bytes:
        if part.data is not None:
            return part.data
        if part.segment is None:
            raise InternalError("a part of a staging is neither in memory nor in the bucket")
        begin = part.segment.start
        data = await self._bucket.get_range(
            self._path(part.segment), part.start - begin, part.end - begin, key=self._key
        )
        return bytes(data)

    async def reader(self) -> "StagingReader":
        """Read the parts; while somebody does, a discarded staging is kept."""
        self._readers += 1
        return StagingReader(self)

    async def end_reading(self) -> None:
        """Free the bytes if they were discarded and nobody else reads them."""
        self._readers -= 1
        if self._discarded and self._readers == 0:
            # A reader goes mostly because its caller has gone, which cancels it: nobody else frees.
            await uncancelled(self._free())

    async def path(self, folder: Path, *, sha256: str) -> Path:
        """Write the bytes to a file, and check what came back from the bucket."""
        path, digest = folder / "received", hashlib.sha256()
        with disk_errors(self._key):
            file = await self._threads.run(path.open, "wb")
            try:
                async for data in fetched_ahead(self._spans(self.written.end), self._whole):
                    await self._threads.run(digest.update, data)
                    await self._threads.run(file.write, data)
            finally:
                await self._threads.run(file.close)
        if digest.hexdigest() != sha256:
            raise UnavailableError(
                f"the bytes of {self._key} changed on their way from the bucket (SHA-256 "
                f"{digest.hexdigest()} instead of {sha256}); send CompleteUpload again"
            )
        return path

    async def publish(self, key: str, size_bytes: int) -> Published:
        """Read the segments in order into one object."""
        return await publish(
            self._bucket,
            f"{OBJECTS}/{key}",
            fetched_ahead(self._spans(size_bytes), self._whole),
            size_bytes,
            key=key,
            threads=self._threads,
        )

    def _spans(self, size_bytes: int) -> list[tuple[int, int]]:
        return list(pieces([(0, size_bytes)], self._bucket.part_bytes))

    async def _whole(self, start: int, end: int) -> bytes:
        data = await self.read(start, end - start)
        if len(data) != end - start:
            raise InternalError(f"bytes {start} to {end - 1} of {self._key} are not there")
        return data

    async def discard(self) -> None:
        """Delete what is in the bucket, once nobody reads it any more."""
        self._discarded = True
        if self._readers == 0:
            await self._free()

    async def _free(self) -> None:
        await discard(self._bucket, self._folder)

    async def close(self) -> None:
        """Forget what is in memory alone; the bucket keeps the rest."""
        self._layout.drop_held()


class StagingReader:
    """Implement `Reader` over what gathers."""

    def __init__(self, staging: ObjectStaging) -> None:
        self._staging = staging
        self._closed = False
        self.size_bytes = staging.written.end

    async def read(self, offset: int, length: int, *, piece_bytes: int) -> list[bytes]:
        """Read a range of what is there by now."""
        return cut(memoryview(await self._staging.read(offset, length)), piece_bytes)

    async def close(self) -> None:
        """Let the staging go."""
        if not self._closed:
            self._closed = True
            await self._staging.end_reading()


async def discard(bucket: Bucket, folder: str) -> None:
    """Delete the segments of a staging, and its mark."""
    found = await bucket.list(folder)
    if found:
        await bucket.delete_many([each.path for each in found])


def cut(data: memoryview, piece_bytes: int) -> list[bytes]:
    """Return bytes as pieces, the last one shorter."""
    return [bytes(data[at : at + piece_bytes]) for at in range(0, len(data), piece_bytes)]
