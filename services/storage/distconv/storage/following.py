"""Follow an upload: serve ranges of it as they arrive, then wait for what becomes of it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from distconv.core.clock import Clock
from distconv.core.errors import InvalidArgumentError, OutOfRangeError, UploadFailedError
from distconv.core.names import object_name
from distconv.storage.limits import Limits
from distconv.storage.providers.port import Reader
from distconv.storage.records import ObjectRecord
from distconv.storage.serving import Load, resolve
from distconv.storage.upload import Upload


class Waiting:
    """Nothing new of what was asked for has arrived for a while, and the upload goes on."""


class Follower:
    """Answer the ranges of one stream in their order, of bytes that no crash loses any more.

    One load of at most `read_ahead_bytes` is held at a time. It is woken by the
    upload itself; a clock only makes it say, now and then, that it waits.
    """

    def __init__(
        self,
        upload: Upload,
        reader: Reader,
        ranges: AsyncIterator[tuple[int, int]],
        *,
        piece_bytes: Callable[[], int],
        outcome: Callable[[Upload], Awaitable[ObjectRecord]],
        limits: Limits,
        clock: Clock,
    ) -> None:
        """Take ranges as they are asked for, (offset, length).

        `piece_bytes` says how long pieces are to be from now on, no longer than what is read
        ahead; `outcome` tells of a gone upload.
        """
        self._upload = upload
        self._reader = reader
        self._ranges = ranges
        self._piece_bytes = piece_bytes
        self._outcome = outcome
        self._limits = limits
        self._ahead_bytes = limits.pace_of(upload.record.pool).read_ahead_bytes
        self._clock = clock
        self._moved = asyncio.Event()
        self._committed: ObjectRecord | None = None

    async def steps(self) -> AsyncGenerator[Load | Waiting | ObjectRecord, None]:
        """Yield what was asked for, and once nothing more is asked for, the committed object.

        Raises InvalidArgumentError, OutOfRangeError, UploadFailedError (it was
        given up, or nothing came for too long), or the disk's.
        """
        self._upload.watch(self._moved)
        self._upload.followers += 1
        try:
            async for offset, length in self._ranges:
                async for step in self._serve(offset, length):
                    yield step
            while not await self._is_committed():
                if not await self._wait():
                    yield Waiting()
            assert self._committed is not None  # noqa: S101  # said so above
            yield self._committed
        finally:
            self._upload.followers -= 1
            self._upload.unwatch(self._moved)

    async def _serve(self, offset: int, length: int) -> AsyncGenerator[Load | Waiting, None]:
        end = self._check(offset, length)
        while offset != end:
            self._moved.clear()
            await self._is_committed()  # raises when it was given up: no object has its bytes
            stop = min(self._upload.durable.end_of_run(offset), offset + self._ahead_bytes)
            stop = stop if end is None else min(stop, end)
            if stop > offset:
                pieces = await self._reader.read(
                    offset, stop - offset, piece_bytes=self._piece_bytes()
                )
                yield Load(offset=offset, pieces=pieces, last=stop == end)
                offset = stop
                if offset == end:
                    return
            elif await self._is_committed():
                end = self._check(offset, 0) if end is None else self._check(offset, end - offset)
            elif not await self._wait():
                yield Waiting()
        yield Load(offset=offset, pieces=[], last=True)

    def _check(self, offset: int, length: int) -> int | None:
        """Return where a range ends; None when the upload will tell."""
        size_bytes = self._size_bytes
        if size_bytes is not None:
            return resolve(offset, length, size_bytes)[1]
        if offset < 0 or length < 0:
            raise InvalidArgumentError(
                f"bytes from {offset}, {length} of them, is no range; both numbers are at least 0",
                field="range",
            )
        if offset + length > self._limits.max_object_bytes:
            raise OutOfRangeError(
                f"bytes up to {offset + length} were asked for, but no object is larger than "
                f"{self._limits.max_object_bytes}; ask for less",
                metadata={"size_bytes": str(self._limits.max_object_bytes)},
            )
        return offset + length if length else None

    @property
    def _size_bytes(self) -> int | None:
        if self._committed is not None:
            return self._committed.received_size_bytes
        return self._upload.record.size_bytes or None

    async def _is_committed(self) -> bool:
        if self._committed is None and self._upload.is_gone:
            self._committed = await self._outcome(self._upload)
        return self._committed is not None

    async def _wait(self) -> bool:
        """Wait until something moves; False when nothing did for so long that it is to be said."""
        try:
            async with asyncio.timeout(self._limits.follow_sign.total_seconds()):
                await self._moved.wait()
        except TimeoutError:
            self._require_life()
            return False
        self._moved.clear()
        return True

    def _require_life(self) -> None:
        idle = self._clock.now() - self._upload.active_time
        if not self._upload.completing and idle >= self._limits.follow_idle:
            raise UploadFailedError(
                f"the upload of {object_name(self._upload.record.object_id)} stands still: "
                f"nothing arrived for {idle.total_seconds():.0f} s; it is not followed any further"
            )
