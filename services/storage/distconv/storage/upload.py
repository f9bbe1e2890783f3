"""One upload under way: takes pieces in any order and makes them durable in batches.

Acknowledging means durable, and durable means a round trip to the disk. So
syncs run beside the writes, one at a time: the first byte written starts a
short delay (`sync_delay`), after it, or as soon as `sync_bytes` wait, one sync
covers all that has gathered. Under load syncs follow one another back to back
and batch by themselves; a slow trickle is acknowledged within the delay and
one sync. A writer that gets `unsynced_limit_bytes` ahead of the disk waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    FailedPreconditionError,
    InternalError,
    NotFoundError,
    ResourceExhaustedError,
)
from distconv.core.ranges import RangeSet
from distconv.core.signed import SignedPut
from distconv.media.child import uncancelled
from distconv.storage.bounds import Bounds
from distconv.storage.claims import Claims
from distconv.storage.digest import FrontierDigest
from distconv.storage.limits import MIB, Limits
from distconv.storage.names import Place, UploadId
from distconv.storage.providers.port import Piece, Staging, total
from distconv.storage.records import UploadRecord

_log = structlog.get_logger()
# How much of what arrived out of turn is read back and hashed beside each batch.
_CATCH_UP_BYTES = 8 * MIB


async def _have_room(size_bytes: int) -> None:
    """Reserve nothing: there is no quota."""


def _is_covered(size_bytes: int) -> bool:  # noqa: ARG001
    """Say yes: there is no quota."""
    return True


class Upload:
    """An open upload; made by `Uploads`, which alone creates, completes and aborts it."""

    def __init__(
        self,
        record: UploadRecord,
        staging: Staging,
        *,
        digest: FrontierDigest,
        limits: Limits,
        clock: Clock,
        active_time: datetime,
        cover: Callable[[int], Awaitable[None]] = _have_room,
        is_covered: Callable[[int], bool] = _is_covered,
    ) -> None:
        """`cover` is asked for room for so many bytes in all before more are written.

        `is_covered` says whether this process has found room for so many already.
        """
        self.record = record
        self.staging = staging
        self.digest = digest
        self.active_time = active_time
        self.completing = False
        self.users = 0  # streams that write to it now
        self.followers = 0  # streams that read it as it comes
        self._limits = limits
        self._pace = limits.pace_of(record.pool)
        self._cover = cover
        self._is_covered = is_covered
        self._clock = clock
        self._turn = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._syncer: asyncio.Task[None] | None = None
        self._watchers: set[asyncio.Event] = set()
        self._writes = 0  # finished writes, and how many of them a sync has covered
        self._synced_writes = 0
        self._bounds = Bounds(
            self.id.name, declared_bytes=record.size_bytes, largest_bytes=limits.max_object_bytes
        )
        self._claims = Claims(self.id.name, staging.written, max_fragments=limits.max_fragments)
        self._losses = 0
        self._loss: DistconvError | None = None
        self._gone: DistconvError | None = None

    @property
    def id(self) -> UploadId:
        """Return its id."""
        return UploadId(object_id=self.record.object_id, nonce=self.record.nonce)

    @property
    def place(self) -> Place:
        """Return the object that it becomes."""
        return Place(tenant=self.record.tenant, object_id=self.record.object_id)

    @property
    def expire_time(self) -> datetime:
        """Return when it is given up unless more arrives."""
        return self.active_time + self._limits.upload_ttl

    @property
    def durable(self) -> RangeSet:
        """Return what has arrived and is safe."""
        return self.staging.durable

    @property
    def is_gone(self) -> bool:
        """Say whether it takes no more bytes for good: completed, given up, or closed."""
        return self._gone is not None

    @property
    def losses(self) -> int:
        """Return how often bytes that were written could not be made durable."""
        return self._losses

    def watch(self, event: asyncio.Event) -> None:
        """Have `event` set whenever more is durable or something failed."""
        self._watchers.add(event)

    def unwatch(self, event: asyncio.Event) -> None:
        """Leave `event` alone from now on."""
        self._watchers.discard(event)

    def check_piece(self, offset: int, length: int) -> None:
        """Raise InvalidArgumentError unless a chunk may lie there."""
        self._bounds.check_piece(offset, length)

    def require_open(self) -> None:
        """Raise unless it takes bytes."""
        if self._gone is not None:
            raise self._gone
        if self.completing:
            raise FailedPreconditionError(
                f"{self.id.name} is being completed and takes no more bytes; "
                "wait for CompleteUpload to answer"
            )

    def require_kept(self, losses: int) -> None:
        """Raise what made bytes fail to become durable, if that happened since `losses`."""
        if self._gone is not None:
            raise self._gone
        if self._losses != losses and self._loss is not None:
            raise self._loss

    async def write(self, pieces: Sequence[Piece]) -> None:
        """Write checked pieces; what arrived before is skipped.

        Returns before they are durable: watch `durable`. Raises the tree's
        errors; none of the pieces counts as arrived then.
        """
        async with self._turn:
            self.require_open()
            while self.staging.unsynced_bytes > self._limits.unsynced_limit_bytes:
                await self.flush()
            await uncancelled(self._write(pieces))
        self.active_time = self._clock.now()

    async def _write(self, pieces: Sequence[Piece]) -> None:
        fresh = self._fresh(pieces)
        if not fresh:
            return
        await self._cover(self.staging.written.size_bytes + total(fresh))
        hashing = asyncio.ensure_future(self.digest.feed(fresh))
        try:
            await self.staging.write(fresh)
        except BaseException:
            await hashing
            self.digest.reset()
            raise
        await hashing
        self._claims.note((offset, offset + len(data)) for offset, data in fresh)
        self._writes += 1
        if self.staging.unsynced_bytes >= self._pace.sync_bytes:
            self._hurry.set()
        self._start_syncer()
        if (
            not self._claims.any_signed
        ):  # else most of it never passed here: read once, by the completion
            await self.digest.catch_up(
                self.staging.written, self.staging.read, limit_bytes=_CATCH_UP_BYTES
            )

    def _check_fragments(self) -> None:
        if len(self.staging.written) > self._limits.max_fragments:
            raise ResourceExhaustedError(
                f"{self.id.name} has arrived in more than {self._limits.max_fragments} separate "
                "pieces; fill the gaps between them first"
            )

    def _fresh(self, pieces: Sequence[Piece]) -> list[Piece]:
        written, taken = self.staging.written, RangeSet()
        self._check_fragments()
        fresh: list[Piece] = []
        for offset, data in pieces:
            for gap in written.gaps(offset, offset + len(data)):
                for start, end in list(taken.gaps(*gap)):
                    taken.add(start, end)
                    whole = end - start == len(data)
                    fresh.append((start, data if whole else data[start - offset : end - offset]))
        return fresh

    async def sign(self, offset: int, length: int, ttl: timedelta) -> SignedPut:
        """Make a URL at which somebody else may put a segment; it needs room from now on.

        Raises AlreadyExistsError when some of it has arrived, and what `write` raises.
        """
        self._bounds.check_segment(offset, length)
        end = offset + length
        async with self._turn:
            self.require_open()
            if not self._is_covered(self._claims.size_with(offset, end)):
                await self.refresh()  # what others took counts too
            if list(self.staging.written.gaps(offset, end)) != [(offset, end)]:
                raise AlreadyExistsError(
                    f"some of the bytes {offset} to {end - 1} of {self.id.name} are there already; "
                    "ask GetUpload what is missing"
                )
            self._claims.check(offset, end)
            signed = await self.staging.sign(offset, end, ttl)
            await self._cover(self._claims.size_with(offset, end))
            self._claims.sign(offset, end)
        return signed

    async def cover(self, size_bytes: int) -> None:
        """See once more that it may have so many bytes: others may have taken some of them.

        Raises QuotaExceededError.
        """
        await self._cover(size_bytes)

    async def confirm(self, offset: int, length: int) -> None:
        """Count a segment that was put at its URL as arrived; harmless when repeated.

        Raises DataLossError when it is not there, or has another length.
        """
        self._bounds.check_segment(offset, length)
        self.require_open()
        if not self.staging.durable.covers(offset, offset + length):
            await self.staging.confirm(offset, offset + length)
            self._claims.note([(offset, offset + length)])
        self.active_time = self._clock.now()
        self._tell()

    async def refresh(self) -> None:
        """Learn what other processes took of it, where the place is shared."""
        known_bytes = self.staging.durable.size_bytes
        await self.staging.refresh()
        self._claims.note(self.staging.durable)
        if self.staging.durable.size_bytes != known_bytes:
            self.active_time = self._clock.now()
            self._tell()

    async def flush(self) -> None:
        """Wait until everything written before this call is durable. Raises the tree's errors."""
        target, losses = self._writes, self._losses
        moved = asyncio.Event()
        self.watch(moved)
        try:
            while self._synced_writes < target:
                self._hurry.set()
                self._start_syncer()
                await moved.wait()
                moved.clear()
                self.require_kept(losses)
        finally:
            self.unwatch(moved)

    def _start_syncer(self) -> None:
        if self._syncer is None or self._syncer.done():
            self._syncer = asyncio.create_task(self._sync_all(), name=f"sync {self.id.name}")

    async def _sync_all(self) -> None:
        while self._synced_writes < self._writes:
            await self._gather_work()
            covered = self._writes
            try:
                await self.staging.sync()
            except Exception as error:  # noqa: BLE001  # the streams that wait have to hear of it
                self._note_loss(error)
            self._synced_writes = covered
            self._tell()

    async def _gather_work(self) -> None:
        try:
            async with asyncio.timeout(self._pace.sync_delay.total_seconds()):
                await self._hurry.wait()
        except TimeoutError:
            pass
        self._hurry.clear()

    def _note_loss(self, error: Exception) -> None:
        if not isinstance(error, DistconvError):
            _log.error("upload_sync_failed", upload=self.id.name, exc_info=error)
            error = InternalError(f"{self.id.name} could not be made durable; send it again")
        self._loss = error
        self._losses += 1
        self._claims.forget_lost(self.staging.written)
        self.digest.reset()

    def _tell(self) -> None:
        for event in self._watchers:
            event.set()

    async def seal(self) -> None:
        """Take no more bytes, and make those that were taken durable."""
        self.completing = True
        async with self._turn:  # a write that had begun ends first
            await self.flush()

    def unseal(self) -> None:
        """Take bytes again, after a completion that failed."""
        self.completing = False

    async def give_up(self) -> None:
        """Stop taking bytes and free what arrived."""
        self._gone = NotFoundError(f"{self.id.name} was given up; open another with CreateUpload")
        await self._settle()
        await self.staging.discard()

    async def close(self) -> None:
        """Stop taking bytes and keep what arrived for another process."""
        self._gone = FailedPreconditionError(f"{self.id.name} is closed")
        await self._settle()
        await self.staging.close()

    async def _settle(self) -> None:
        self._tell()
        async with self._turn:
            self._hurry.set()
            if self._syncer is not None:
                await asyncio.wait([self._syncer])
