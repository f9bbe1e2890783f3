"""Put an output into the bucket itself, and through storage when that fails."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import structlog

from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    DeadlineExceededError,
    DistconvError,
    PermissionDeniedError,
    UnavailableError,
)
from distconv.engine.backoff import Backoff, Pause
from distconv.engine.http_pool import BusyError
from distconv.engine.http_puts import DamagedPutError, HttpPuts
from distconv.engine.storage_link import SegmentUrl, StorageLink
from distconv.engine.write_stream import WriteStream
from distconv.rpc.limits import CHUNK_BYTES

_log = structlog.get_logger()
T = TypeVar("T")

_AT_ONCE = 4
_TIMEOUT_S = 30.0
# The first segment is as small as a chunk and each is twice as large as the one before: who follows
# the output sees it begin at once.
_FIRST_BYTES = CHUNK_BYTES
_LARGEST_BYTES = 8 * 1024 * 1024
_FLUSH_S = 1.0
# What is refused, breaks off or arrives damaged is tried once more.
_TRIES = 2
# A bucket that asks to slow down is given so long, for each segment: S3 does while it grows with
# its load, and storage has to put what is not put here into the same bucket.
_BUSY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Segment:
    offset: int
    length: int
    pieces: tuple[bytes, ...]

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Yield the pieces with where they lie."""
        offset = self.offset
        for piece in self.pieces:
            yield offset, piece
            offset += len(piece)


class DirectWriter:
    """A Carrier that puts segments over HTTP, at URLs that storage signs; it begins at once.

    A segment is cut when it is large enough, when the window is full, and at
    the latest `flush_s` after its first byte: an output is seen to come, however
    slowly it does. From the first failure on that another try does not mend,
    everything goes through storage, with what is not known to have arrived. A
    bucket that asks to slow down is given some seconds.
    What is known to have arrived damaged is put again before that, for as long as
    the link has patience: storage goes by its length, and would count it.
    Memory: `window_bytes`, of which one segment has half at the most.
    """

    def __init__(
        self,
        link: StorageLink,
        upload: str,
        *,
        window_bytes: int,
        flush_s: float = _FLUSH_S,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._link = link
        self._upload = upload
        self._window_bytes = window_bytes
        self._flush_s = flush_s
        self._pause = pause
        self._largest_bytes = min(_LARGEST_BYTES, window_bytes // 2)
        self._next_bytes = min(_FIRST_BYTES, self._largest_bytes)
        self._filling: list[bytes] = []
        self._filling_offset = 0
        self._filling_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[_Segment] = deque()
        self._held: dict[int, _Segment] = {}  # cut and not confirmed, by offset
        self._held_bytes = 0  # of these and what fills
        self._damaged: dict[int, SegmentUrl] = {}  # where others of these bytes lie, by offset
        self._stream: WriteStream | None = None
        self._handed_over = False
        self._moved = asyncio.Event()
        self._finished = False
        self._error: DistconvError | None = None
        self.direct_bytes = 0
        self._http = HttpPuts(connections=_AT_ONCE, timeout_s=_TIMEOUT_S)
        self._pump = asyncio.create_task(self._run(), name="direct write")

    @property
    def held_bytes(self) -> int:
        """Return how much was taken and is not known to have arrived."""
        return self._held_bytes + (0 if self._stream is None else self._stream.held_bytes)

    async def put(self, offset: int, data: bytes) -> None:
        """Take the piece that comes next, waiting while the window is full.

        Raises the tree's errors.
        """
        while not self._handed_over and self._is_full(len(data)):
            self._cut()
            await self._wait_moved()
        self._raise_error()
        if self._handed_over and self._stream is not None:
            await self._stream.put(offset, data)
        else:
            self._fill(offset, data)

    def _is_full(self, more_bytes: int) -> bool:
        held_bytes = self.held_bytes
        return held_bytes > 0 and held_bytes + more_bytes > self._window_bytes

    def _fill(self, offset: int, data: bytes) -> None:
        if not self._filling:
            self._filling_offset = offset
            self._timer = asyncio.get_running_loop().call_later(self._flush_s, self._cut)
        self._filling.append(data)
        self._filling_bytes += len(data)
        self._held_bytes += len(data)
        if self._filling_bytes >= self._next_bytes:
            self._cut()

    def _cut(self) -> None:
        """Make a segment of what has gathered."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._filling:
            return
        segment = _Segment(
            offset=self._filling_offset, length=self._filling_bytes, pieces=tuple(self._filling)
        )
        self._filling, self._filling_bytes = [], 0
        self._next_bytes = min(2 * self._next_bytes, self._largest_bytes)
        self._held[segment.offset] = segment
        self._waiting.append(segment)
        self._moved.set()

    async def finish(self) -> None:
        """Send the rest, and wait until all has arrived. Raises the tree's errors."""
        self._finished = True
        self._cut()
        self._moved.set()
        await self._pump
        self._raise_error()
        if self._stream is not None:
            await self._stream.finish()
        self._http.close()
        _log.info(
            "output_arrived", object=self._link.grant.object_name, direct_bytes=self.direct_bytes
        )

    async def close(self) -> None:
        """Send no more; a PUT under way is cut off."""
        if self._timer is not None:
            self._timer.cancel()
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        self._http.close()
        if self._stream is not None:
            await self._stream.close()

    async def _run(self) -> None:
        failures: list[BaseException] = []
        try:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(_AT_ONCE):
                        group.create_task(self._work())
            except* DistconvError as failed:
                failures += failed.exceptions
            if failures and self._error is None:
                await self._hand_over(str(failures[0]))
        except DistconvError as error:
            self._error = error
        finally:
            self._moved.set()

    async def _work(self) -> None:
        while not (self._finished and not self._waiting):
            if self._waiting:
                await self._send(self._waiting.popleft())
            else:
                await self._wait_moved()

    async def _send(self, segment: _Segment) -> None:
        signed: SegmentUrl | None = None
        for left in reversed(range(_TRIES)):
            try:
                signed = signed or await self._sign(segment)
                if signed is not None:
                    await self._put_patiently(segment, signed)
                await self._confirm(segment)
                break
            except DamagedPutError as error:  # to be put over what lies there, at the same URL
                if not left:
                    self._error = error
                    raise
            except (DataLossError, PermissionDeniedError, UnavailableError):
                if not left or self._error is not None:
                    raise
                # One for bytes that lie there damaged may not be given out again.
                signed = self._damaged.get(segment.offset)
        del self._held[segment.offset]
        self._held_bytes -= segment.length
        self.direct_bytes += segment.length
        self._moved.set()

    async def _put(self, segment: _Segment, signed: SegmentUrl) -> None:
        try:
            await self._http.put(signed.url, segment.pieces, signed.headers)
        except DamagedPutError:
            self._damaged[segment.offset] = signed
            raise
        self._damaged.pop(segment.offset, None)

    async def _put_patiently(self, segment: _Segment, signed: SegmentUrl) -> None:
        """Put it, pausing while the bucket has too much to do."""
        backoff = Backoff(_BUSY_S, self._pause)
        while True:
            try:
                await self._put(segment, signed)
            except BusyError:
                if not await backoff.wait():
                    raise
            else:
                return

    async def _mend(self, offset: int) -> None:
        """Put a segment over what lies damaged in its place."""
        backoff = Backoff(self._link.patience_s, self._pause)
        while True:
            try:
                await self._put(self._held[offset], self._damaged[offset])
            except UnavailableError as error:
                if not await backoff.wait():
                    raise DamagedPutError(
                        f"bytes of {self._link.grant.object_name} lie damaged in the bucket, and "
                        f"cannot be put again: {error.message}"
                    ) from error
            else:
                return

    async def _sign(self, segment: _Segment) -> SegmentUrl | None:
        """Return a URL; None when what seemed to fail before has arrived nevertheless."""
        try:
            return await self._ask(
                lambda: self._link.sign_segment(self._upload, segment.offset, segment.length)
            )
        except AlreadyExistsError:
            return None

    async def _confirm(self, segment: _Segment) -> None:
        await self._ask(
            lambda: self._link.confirm_segment(self._upload, segment.offset, segment.length)
        )

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask storage; when it stays away nothing else can be tried."""
        try:
            return await call()
        except (UnavailableError, DeadlineExceededError) as error:
            self._error = error
            raise

    async def _hand_over(self, why: str) -> None:
        """Give all that is not known to have arrived to a stream through storage."""
        _log.info("direct_write_given_up", object=self._link.grant.object_name, why=why)
        for offset in sorted(self._damaged):
            await self._mend(offset)
        self._http.close()
        self._waiting.clear()
        self._stream = WriteStream(self._link, self._upload, window_bytes=self._window_bytes)
        while self._held or self._filling:
            self._cut()
            self._waiting.clear()
            offset = min(self._held)
            for chunk in self._held.pop(offset).chunks():
                await self._stream.put(*chunk)
                self._held_bytes -= len(chunk[1])
        self._handed_over = True

    async def _wait_moved(self) -> None:
        self._moved.clear()
        await self._moved.wait()
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
        if self._pump.done():
            self._pump.result()
