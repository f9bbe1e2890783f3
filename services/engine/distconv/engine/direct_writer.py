"""Put an output into the bucket itself, and through storage when that fails."""

import asyncio
from collections import deque

import structlog

from distconv.core.errors import DeadlineExceededError, DistconvError, UnavailableError
from distconv.engine.backoff import Pause
from distconv.engine.http_pool import StoreAwayError
from distconv.engine.http_puts import DamagedPutError
from distconv.engine.segment_puts import SegmentPuts
from distconv.engine.segments import Segment, SegmentCutter
from distconv.engine.storage_link import StorageLink
from distconv.engine.write_stream import WriteStream
from distconv.rpc.window import Window

_log = structlog.get_logger()

_AT_ONCE = 4
_LARGEST_BYTES = 8 * 1024 * 1024
_FLUSH_S = 1.0


class DirectWriter:
    """A Carrier that puts segments over HTTP, at URLs that storage signs; it begins at once.

    From the first failure on that another try does not mend, everything goes
    through storage, with what is not known to have arrived.
    Memory: what the window lets be held, of which one segment has half at the most.
    """

    def __init__(
        self,
        link: StorageLink,
        upload: str,
        window: Window,
        *,
        pause: Pause = asyncio.sleep,
    ) -> None:
        """`pause` is between tries."""
        self._link = link
        self._upload = upload
        self._window = window
        self._cutter = SegmentCutter(
            self._take,
            largest_bytes=min(_LARGEST_BYTES, window.limit_bytes // 2),
            flush_s=_FLUSH_S,
        )
        self._waiting: deque[Segment] = deque()
        self._held: dict[int, Segment] = {}  # cut and not confirmed, by offset
        self._stream: WriteStream | None = None
        self._finished = False
        self._moved = asyncio.Event()
        self.direct_bytes = 0
        self._puts = SegmentPuts(link, upload, connections=_AT_ONCE, pause=pause)
        self._pump = asyncio.create_task(self._run(), name="direct write")

    async def put(self, offset: int, data: bytes) -> None:
        """Take the piece that comes next, waiting while the window is full.

        Raises the tree's errors.
        """
        if not self._window.has_room(len(data)):
            self._cutter.cut()
        await self._window.take(len(data))
        if self._stream is not None:
            self._stream.add(offset, data)
        else:
            self._cutter.add(offset, data)

    def _take(self, segment: Segment) -> None:
        self._held[segment.offset] = segment
        self._waiting.append(segment)
        self._moved.set()

    async def finish(self) -> None:
        """Send the rest, and wait until all has arrived. Raises the tree's errors."""
        self._cutter.cut()
        self._finished = True
        self._moved.set()
        await self._pump
        self._window.check()
        if self._stream is not None:
            await self._stream.finish()
        self._puts.close()
        _log.info(
            "output_arrived", object=self._link.grant.object_name, direct_bytes=self.direct_bytes
        )

    async def close(self) -> None:
        """Send no more; a PUT under way is cut off."""
        self._cutter.close()
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        self._puts.close()
        if self._stream is not None:
            await self._stream.close()

    async def _run(self) -> None:
        try:
            failed = await self._put_all()
            if failed is not None:
                await self._hand_over(failed)
        except Exception as error:  # noqa: BLE001  # whoever puts has to hear of it
            self._window.fail(error)

    async def _put_all(self) -> DistconvError | None:
        """Put what comes until all is there, or return what makes the bucket be given up."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(self._work())
        except* DistconvError as errors:
            failed = _worst(errors)
            if _is_final(failed):
                raise failed from None
        else:
            return None
        return failed

    async def _work(self) -> None:
        while self._waiting or not self._finished:
            if self._waiting:
                await self._send(self._waiting.popleft())
            else:
                self._moved.clear()
                await self._moved.wait()

    async def _send(self, segment: Segment) -> None:
        await self._puts.send(segment)
        del self._held[segment.offset]
        self.direct_bytes += segment.length
        self._window.release(segment.length)

    async def _hand_over(self, why: DistconvError) -> None:
        """Give all that is not known to have arrived to a stream through storage."""
        _log.info("direct_write_given_up", object=self._link.grant.object_name, why=why.message)
        await self._puts.mend()
        self._puts.close()
        self._cutter.cut()
        held = [chunk for at in sorted(self._held) for chunk in self._held[at].chunks()]
        self._held.clear()
        self._waiting.clear()
        self._stream = WriteStream(self._link, self._upload, self._window, held=held)


def _worst(errors: BaseExceptionGroup[DistconvError]) -> DistconvError:
    found = [error for error in errors.exceptions if isinstance(error, DistconvError)]
    return next(filter(_is_final, found), found[0])


def _is_final(error: DistconvError) -> bool:
    """Say whether no way is left: storage itself stays away, or damage comes again and again."""
    if isinstance(error, StoreAwayError):
        return False
    return isinstance(error, DamagedPutError | UnavailableError | DeadlineExceededError)
