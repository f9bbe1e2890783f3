"""Bring segments of one upload into the bucket: sign, put, confirm, and try again what may pass."""

import asyncio

from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    PermissionDeniedError,
    UnavailableError,
)
from distconv.core.signed import SignedPut
from distconv.engine.backoff import Backoff, Pause
from distconv.engine.http_pool import BusyError, SilentStoreError, StoreAwayError
from distconv.engine.http_puts import DamagedPutError, HttpPuts
from distconv.engine.segments import Segment
from distconv.engine.storage_link import StorageLink

# What is refused, breaks off or arrives damaged is tried once more.
_TRIES = 2
# An object store that says nothing for so long is given up: storage has to put what is not put
# here into the same bucket, by a line that may be better.
_SILENCE_S = 15.0
# One that asks to slow down is given so long, for each segment: S3 does while it grows with its
# load.
_BUSY_S = 5.0


class SegmentPuts:
    """Put segments at URLs that storage signs, so many at once as there are `connections`."""

    def __init__(
        self, link: StorageLink, upload: str, *, connections: int, pause: Pause = asyncio.sleep
    ) -> None:
        """`pause` is between tries."""
        self._link = link
        self._upload = upload
        self._pause = pause
        self._http = HttpPuts(connections=connections, timeout_s=_SILENCE_S)
        # By offset, what lies damaged in the bucket, and where to put it once more.
        self._damaged: dict[int, tuple[Segment, SignedPut]] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    async def send(self, segment: Segment) -> None:
        """Put a segment, and return once storage counts it as arrived.

        Raises DamagedPutError when it arrives damaged again, StoreAwayError and
        PermissionDeniedError for a bucket that does not take it, and whatever
        storage says.
        """
        for left in reversed(range(_TRIES)):
            try:
                await self._try(segment)
            except (SilentStoreError, BusyError):  # was waited for long enough
                raise
            except (DataLossError, PermissionDeniedError, StoreAwayError):
                if not left:
                    raise
            else:
                return

    async def _try(self, segment: Segment) -> None:
        signed = await self._signed(segment)
        if signed is not None:
            await self._put_patiently(segment, signed, BusyError, _BUSY_S)
        await self._link.confirm_segment(self._upload, segment.offset, segment.length)

    async def _signed(self, segment: Segment) -> SignedPut | None:
        """Return a URL; None when what seemed to fail before has arrived nevertheless."""
        if segment.offset in self._damaged:  # which storage may take for arrived
            return self._damaged[segment.offset][1]
        try:
            return await self._link.sign_segment(self._upload, segment.offset, segment.length)
        except AlreadyExistsError:
            return None

    async def _put_patiently(
        self, segment: Segment, signed: SignedPut, passing: type[UnavailableError], limit_s: float
    ) -> None:
        """Put it, pausing after each error that is `passing`, until the pauses reach the limit."""
        backoff = Backoff(limit_s, self._pause)
        while True:
            try:
                return await self._put(segment, signed)
            except passing:
                if not await backoff.wait():
                    raise

    async def _put(self, segment: Segment, signed: SignedPut) -> None:
        # Its thread goes on when whoever waits is cancelled: what comes of it has to be noted.
        putting = asyncio.create_task(self._put_noting_damage(segment, signed))
        self._under_way.add(putting)
        putting.add_done_callback(self._under_way.discard)
        await asyncio.shield(putting)

    async def _put_noting_damage(self, segment: Segment, signed: SignedPut) -> None:
        try:
            await self._http.put(signed.url, segment.pieces, signed.headers)
        except DamagedPutError:
            self._damaged[segment.offset] = segment, signed
            raise
        self._damaged.pop(segment.offset, None)

    async def mend(self) -> None:
        """Put over whatever lies damaged in the bucket, for as long as the link has patience.

        Storage goes by lengths, and would count it. PUTs under way end first, by themselves or
        because the bucket says nothing more. Raises DamagedPutError when something cannot be put
        over.
        """
        while self._under_way:
            await asyncio.wait(self._under_way)
        for segment, signed in list(self._damaged.values()):
            try:
                await self._put_patiently(segment, signed, UnavailableError, self._link.patience_s)
            except (UnavailableError, PermissionDeniedError) as error:  # the URL may have expired
                raise DamagedPutError(
                    f"bytes of {self._link.grant.object_name} lie damaged in the bucket, and "
                    f"cannot be put again: {error.message}"
                ) from error

    def close(self) -> None:
        """Cut off every PUT under way; harmless when repeated."""
        self._http.close()
