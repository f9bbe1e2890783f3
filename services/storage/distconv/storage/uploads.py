"""Every upload: open, find, complete, abort, expire."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    DiskFullError,
    DistconvError,
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
    UploadFailedError,
)
from distconv.core.names import object_name
from distconv.core.profile import Container
from distconv.storage.completing import Completing
from distconv.storage.completion import Completion
from distconv.storage.limits import Limits
from distconv.storage.names import MAIN_POOL, Place, UploadId, parse_data
from distconv.storage.objects import Objects
from distconv.storage.providers.port import Provider, Reader, Stat
from distconv.storage.quotas import Quotas
from distconv.storage.received import ReceivedReader
from distconv.storage.records import Description, ObjectRecord, UploadRecord
from distconv.storage.threads import Threads
from distconv.storage.upload import Upload
from distconv.storage.upload_table import UploadTable

_log = structlog.get_logger()


class Uploads:
    """The uploads of every tenant; an object has one upload at a time."""

    def __init__(
        self,
        *,
        provider: Provider,
        objects: Objects,
        quotas: Quotas,
        completion: Completion,
        threads: Threads,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._provider = provider
        self._objects = objects
        self._quotas = quotas
        self._limits = limits
        self._clock = clock
        self._table = UploadTable(
            provider=provider, quotas=quotas, threads=threads, limits=limits, clock=clock
        )
        self._completing = Completing(self._table, objects, completion, clock)

    # --- open and find ---------------------------------------------------------------------

    async def create(
        self,
        place: Place,
        *,
        size_bytes: int,
        container: Container | None,
        description: Description = Description(),  # noqa: B008  # frozen
        pool: str = MAIN_POOL,
    ) -> Upload:
        """Open an upload, or return the one that is open for the object.

        Raises AlreadyExistsError when the object is committed, DiskFullError or
        QuotaExceededError when there is no room for the declared size, and
        FailedPreconditionError when there is no such pool.
        """
        self.check_size(size_bytes)
        async with self._table.owners.own(place):
            if await self._objects.find(place) is not None:
                raise AlreadyExistsError(
                    f"{object_name(place.object_id)} is committed and never changes; "
                    "use it, or upload to another object"
                )
            record = await self._table.current(place)
            if record is not None:
                _require_same_size(record, size_bytes)
                return await self._table.opened(place, record)
            record = UploadRecord(
                nonce=UploadId.new(place.object_id, pool).nonce,
                object_id=place.object_id,
                tenant=place.tenant,
                size_bytes=size_bytes,
                create_time=self._clock.now(),
                container=container,
                description=description,
                pool=pool,
            )
            await self._require_room(place, record)
            upload = await self._create(place, record)
            _require_same_size(upload.record, size_bytes)
            return upload

    async def _create(self, place: Place, record: UploadRecord) -> Upload:
        await self._quotas.reserve(record)
        try:
            upload = await self._table.create(record)
        except BaseException:
            await self._quotas.release(place, record.nonce)
            raise
        if upload.record.nonce != record.nonce:  # that of another process, which was quicker
            await self._quotas.release(place, record.nonce)
        self._completing.begin_anew(place)
        return upload

    def check_size(self, size_bytes: int) -> None:
        """Raise InvalidArgumentError unless an object may have that size, 0 for not known."""
        if not 0 <= size_bytes <= self._limits.max_object_bytes:
            raise InvalidArgumentError(
                f"an object of {size_bytes} bytes cannot be stored; give its size, at most "
                f"{self._limits.max_object_bytes}, or 0 when it is not known yet",
                field="size_bytes",
            )

    async def _require_room(self, place: Place, record: UploadRecord) -> None:
        upload_id = UploadId(object_id=place.object_id, nonce=record.nonce)
        free = await self._provider.free_bytes(place.staging_key(upload_id))
        if free is not None and free - record.size_bytes < self._limits.min_free_bytes:
            raise DiskFullError(
                f"the disk of the storage pool '{record.pool}' has {free} bytes left, "
                f"{self._limits.min_free_bytes} of them kept free: an upload of "
                f"{record.size_bytes} bytes finds no room; free space there and try again",
                metadata={"free_bytes": str(free)},
            )

    async def find(self, place: Place) -> UploadRecord | None:
        """Return the record of the object's upload under way, None when there is none."""
        return await self._table.find(place)

    async def get(self, tenant: str, upload_id: UploadId, *, look: bool = True) -> Upload:
        """Return an open upload, from disk when an earlier process took its bytes.

        For `look` see `UploadTable.opened`. Raises NotFoundError, and
        FailedPreconditionError when it has failed.
        """
        place = Place(tenant=tenant, object_id=upload_id.object_id)
        async with self._table.owners.own(place):
            return await self._completing.get(place, upload_id, look=look)

    async def find_open(self, place: Place) -> Upload | None:
        """Return the object's upload under way to read it, None when there is none."""
        async with self._table.owners.own(place):
            record = await self._table.current(place)
            if record is None:
                return None
            return await self._table.opened(place, record, goes_on=False)

    async def look_at_followed(self) -> None:
        """Learn what other processes did to the uploads that are followed here."""
        followed = [place for place, upload in self._table.open.items() if upload.followers]
        await asyncio.gather(*map(self._look_at, followed))

    async def _look_at(self, place: Place) -> None:
        async with self._table.owners.own(place):
            await self._table.current(place)
            upload = self._table.open.get(place)
            if upload is not None:
                await upload.refresh()

    async def received(self, upload: Upload) -> Reader:
        """Open what arrives of an upload for reading, and go on with the object that it becomes."""
        return ReceivedReader(
            await upload.staging.reader(), partial(self._become, upload), upload.place
        )

    async def _become(self, upload: Upload) -> Reader | None:
        record = await self._objects.find_of_upload(upload.place.tenant, upload.id)
        if record is None or record.sha256 != record.received_sha256:
            return None
        return (await self._objects.open(upload.place)).reader

    def require_not_failed(self, place: Place) -> None:
        """Raise UploadFailedError when it is known that the object's last upload has failed."""
        if (error := self._completing.last_verdict(place)) is not None:
            raise _failed(place, error.message)

    async def outcome(self, upload: Upload) -> ObjectRecord:
        """Return the object that an upload which is gone has become.

        Raises UploadFailedError when it was given up, and UnavailableError
        when it is kept and only closed here.
        """
        done = await self._objects.find_of_upload(upload.place.tenant, upload.id)
        if done is not None:
            return done
        if (error := self._completing.verdict(upload.place, upload.id)) is not None:
            raise _failed(upload.place, error.message)
        record = await self._table.find(upload.place)
        if record is not None and record.nonce == upload.record.nonce:
            raise UnavailableError(f"{upload.id.name} is closed here; try again")
        raise _failed(upload.place, "it was given up, or has expired")

    async def find_completed(self, tenant: str, upload_id: UploadId) -> ObjectRecord | None:
        """Return the object that the upload became, None when it is not committed."""
        return await self._objects.find_of_upload(tenant, upload_id)

    async def ids(self, tenant: str) -> list[str]:
        """Return the ids of the objects of a tenant that are being uploaded, sorted."""
        return await self._table.ids(tenant)

    async def complete(
        self, tenant: str, upload_id: UploadId, *, size_bytes: int, sha256: str
    ) -> ObjectRecord:
        """Check, finish and commit an upload; it goes on when the caller goes away.

        A second call joins the first, or gets what came of it.
        """
        return await self._completing.complete(
            tenant, upload_id, size_bytes=size_bytes, sha256=sha256
        )

    # --- give up ---------------------------------------------------------------------------

    async def abort(self, tenant: str, upload_id: UploadId) -> None:
        """Give an upload up; harmless when it is gone already.

        Raises FailedPreconditionError when it is completed.
        """
        place = Place(tenant=tenant, object_id=upload_id.object_id)
        async with self._table.owners.own(place):
            await self._require_not_completed(tenant, upload_id)
            record = await self._table.current(place)
            if record is not None and record.nonce == upload_id.nonce:
                await self._drop(place, record.nonce)
                # Another process may have committed it just before its record went.
                await self._require_not_completed(tenant, upload_id)

    async def _require_not_completed(self, tenant: str, upload_id: UploadId) -> None:
        if await self.find_completed(tenant, upload_id) is not None:
            raise FailedPreconditionError(
                f"{upload_id.name} is completed; delete {object_name(upload_id.object_id)} instead"
            )

    async def delete_object(self, place: Place) -> None:
        """Delete an object and any upload of it; harmless when there is nothing."""
        async with self._table.owners.own(place):
            record = await self._table.current(place)
            if record is not None:
                await self._drop(place, record.nonce)
            await self._objects.delete(place)

    async def _drop(self, place: Place, nonce: str) -> None:
        await self._completing.cancel(place, nonce)
        await self._table.drop(place, nonce)

    # --- background and end ----------------------------------------------------------------

    async def sweep(self) -> None:
        """Give up what has expired, close the files of what rests, forget old verdicts.

        What cannot be done of one upload is logged, and the others have their turn.
        """
        now = self._clock.now()
        ttl = self._limits.upload_ttl
        self._completing.forget_older(now, ttl)
        for place in list(self._table.open):
            with _logged(place):
                async with self._table.owners.own(place):
                    await self._sweep_open(place, now)
        for staging in await self._provider.stagings(skip_away=True):
            place, nonce = parse_data(staging.key)
            if staging.modified_time + ttl <= now:
                with _logged(place):
                    await self.sweep_closed(place, nonce)

    def is_abandoned(self, place: Place, staging: Stat) -> bool:
        """Tell whether bytes have gathered that nobody goes on with."""
        expired = staging.modified_time + self._limits.upload_ttl <= self._clock.now()
        return expired and place not in self._table.open

    async def sweep_closed(self, place: Place, nonce: str) -> None:
        """Give up an upload that has expired, and free bytes that are of none."""
        async with self._table.owners.own(place):
            await self._sweep_closed(place, nonce)

    async def _sweep_open(self, place: Place, now: datetime) -> None:
        with suppress(DataLossError):  # it can rest nevertheless, and then expire
            await self._table.current(place)
        upload = self._table.open.get(place)
        if upload is None or upload.users or upload.completing:
            return
        # At a shared place others may still be filling it: its newest bytes say when it expires.
        if upload.expire_time <= now and not self._provider.shared:
            await self._expire(place, upload.record.nonce)
        elif not upload.followers and upload.active_time + self._limits.rest_after <= now:
            await self._table.rest(place, upload.record.nonce)

    async def _sweep_closed(self, place: Place, nonce: str) -> None:
        try:
            record = await self._table.current(place)
        except DataLossError as error:  # nobody can go on with it: past its time it is none
            _log.warning("upload_record_damaged", error=error.message)
            if place not in self._table.open:
                await self._expire(place, nonce)
            return
        if record is None or record.nonce != nonce:
            upload_id = UploadId(object_id=place.object_id, nonce=nonce)
            await self._provider.discard_staging(place.staging_key(upload_id))
        elif place not in self._table.open:
            await self._expire(place, nonce)

    async def _expire(self, place: Place, nonce: str) -> None:
        await self._drop(place, nonce)
        _log.info("upload_expired", object=object_name(place.object_id), tenant=place.tenant)

    async def stop(self) -> None:
        """Cut completions off and close every file; what arrived is kept."""
        self._table.owners.close()
        await self._completing.stop()
        await self._table.close()


@contextmanager
def _logged(place: Place) -> Iterator[None]:
    try:
        yield
    except DistconvError as error:
        _log.warning(
            "upload_not_swept",
            object=object_name(place.object_id),
            tenant=place.tenant,
            error=error.message,
        )


def _failed(place: Place, why: str) -> UploadFailedError:
    return UploadFailedError(f"the upload of {object_name(place.object_id)} has failed: {why}")


def _require_same_size(record: UploadRecord, size_bytes: int) -> None:
    if size_bytes and record.size_bytes and size_bytes != record.size_bytes:
        raise InvalidArgumentError(
            f"an upload of {object_name(record.object_id)} with {record.size_bytes} bytes is "
            f"open, not one with {size_bytes}; go on with it, or abort it first",
            field="size_bytes",
        )
