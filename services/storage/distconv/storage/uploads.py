"""Every upload: open, find, complete, abort, expire."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import (
    AlreadyExistsError,
    CorruptSourceError,
    DataLossError,
    DiskFullError,
    DistconvError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    UnsupportedSourceError,
)
from distconv.core.names import object_name
from distconv.core.profile import Container
from distconv.media.child import uncancelled
from distconv.storage.completion import Completion, Prepared, check_size
from distconv.storage.digest import FrontierDigest
from distconv.storage.limits import Limits
from distconv.storage.names import Place, UploadId, parse_staging, uploads_prefix
from distconv.storage.objects import Objects
from distconv.storage.owners import Owners
from distconv.storage.providers.port import Provider
from distconv.storage.records import ObjectRecord, UploadRecord, dump, load_upload
from distconv.storage.threads import Threads
from distconv.storage.upload import Upload

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """A completion that goes on, whoever asked for it."""

    task: "asyncio.Task[ObjectRecord]"
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    """Why an upload failed for good, for those who ask again."""

    nonce: str
    error: DistconvError
    time: datetime


class Uploads:
    """The uploads of every tenant.

    An object has one upload at a time. Its record and its staging outlive the
    process; an `Upload` in memory is made of them when somebody asks.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        objects: Objects,
        completion: Completion,
        threads: Threads,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self._provider = provider
        self._objects = objects
        self._completion = completion
        self._threads = threads
        self._limits = limits
        self._clock = clock
        self._owners = Owners()
        self._open: dict[Place, Upload] = {}
        self._running: dict[Place, _Running] = {}
        self._verdicts: dict[Place, _Verdict] = {}

    # --- open and find ---------------------------------------------------------------------

    async def create(self, place: Place, *, size_bytes: int, container: Container | None) -> Upload:
        """Open an upload, or return the one that is open for the object.

        Raises AlreadyExistsError when the object is committed, and
        DiskFullError when there is no room for the declared size.
        """
        self._check_size(size_bytes)
        async with self._owners.own(place):
            if await self._objects.find(place) is not None:
                raise AlreadyExistsError(
                    f"{object_name(place.object_id)} is committed and never changes; "
                    "use it, or upload to another object"
                )
            record = await self.find(place)
            if record is not None:
                _require_same_size(record, size_bytes)
                return await self._opened(place, record)
            await self._require_room(size_bytes)
            return await self._create(place, size_bytes, container)

    async def _create(self, place: Place, size_bytes: int, container: Container | None) -> Upload:
        record = UploadRecord(
            nonce=UploadId.new(place.object_id).nonce,
            object_id=place.object_id,
            tenant=place.tenant,
            size_bytes=size_bytes,
            create_time=self._clock.now(),
            container=container,
        )
        # The staging first: one without a record is removed at the next start.
        upload = await self._opened(place, record)
        try:
            await self._provider.put(place.upload_key, dump(record))
        except BaseException:
            await self._forget(place)
            raise
        self._verdicts.pop(place, None)
        return upload

    def _check_size(self, size_bytes: int) -> None:
        if not 0 <= size_bytes <= self._limits.max_object_bytes:
            raise InvalidArgumentError(
                f"an object of {size_bytes} bytes cannot be stored; give its size, at most "
                f"{self._limits.max_object_bytes}, or 0 when it is not known yet",
                field="size_bytes",
            )

    async def _require_room(self, size_bytes: int) -> None:
        free = await self._provider.free_bytes()
        if free is not None and free - size_bytes < self._limits.min_free_bytes:
            raise DiskFullError(
                f"the storage disk has {free} bytes left, {self._limits.min_free_bytes} of them "
                f"kept free: an upload of {size_bytes} bytes finds no room; free space there and "
                "try again",
                metadata={"free_bytes": str(free)},
            )

    async def find(self, place: Place) -> UploadRecord | None:
        """Return the record of the object's upload under way, None when there is none."""
        if place in self._open:
            return self._open[place].record
        try:
            text = await self._provider.get(place.upload_key)
        except NotFoundError:
            return None
        return load_upload(text, key=place.upload_key)

    async def _opened(self, place: Place, record: UploadRecord) -> Upload:
        now = self._clock.now()
        if place not in self._open:
            key = place.staging_key(UploadId(object_id=place.object_id, nonce=record.nonce))
            self._open[place] = Upload(
                record,
                await self._provider.stage(key),
                digest=FrontierDigest(self._threads),
                limits=self._limits,
                clock=self._clock,
                active_time=now,
            )
        upload = self._open[place]
        upload.active_time = now
        return upload

    async def get(self, tenant: str, upload_id: UploadId) -> Upload:
        """Return an open upload, from disk when an earlier process took its bytes.

        Raises NotFoundError, and FailedPreconditionError when it has failed.
        """
        place = Place(tenant=tenant, object_id=upload_id.object_id)
        async with self._owners.own(place):
            return await self._get(place, upload_id)

    async def _get(self, place: Place, upload_id: UploadId) -> Upload:
        record = await self.find(place)
        if record is not None and record.nonce == upload_id.nonce:
            return await self._opened(place, record)
        if (verdict := self._verdict(place, upload_id)) is not None:
            raise FailedPreconditionError(
                f"{upload_id.name} has failed and takes no more bytes: {verdict.message}"
            )
        raise NotFoundError(
            f"{upload_id.name} does not exist; it was given up or has expired: "
            "open another with CreateUpload"
        )

    async def find_completed(self, tenant: str, upload_id: UploadId) -> ObjectRecord | None:
        """Return the object that the upload became, None when it is not committed."""
        record = await self._objects.find(Place(tenant=tenant, object_id=upload_id.object_id))
        return record if record is not None and record.nonce == upload_id.nonce else None

    async def ids(self, tenant: str) -> list[str]:
        """Return the ids of the objects of a tenant that are being uploaded, sorted."""
        prefix = uploads_prefix(tenant)
        return [key.removeprefix(prefix) for key in await self._provider.keys(prefix)]

    # --- complete --------------------------------------------------------------------------

    async def complete(
        self, tenant: str, upload_id: UploadId, *, size_bytes: int, sha256: str
    ) -> ObjectRecord:
        """Check, finish and commit an upload; it goes on when the caller goes away.

        A second call joins the first, or gets what came of it.
        """
        place = Place(tenant=tenant, object_id=upload_id.object_id)
        async with self._owners.own(place):
            done = await self.find_completed(tenant, upload_id)
            if done is not None:
                return _same_content(done, upload_id, size_bytes, sha256)
            if (error := self._verdict(place, upload_id)) is not None:
                raise type(error)(error.message, metadata=error.metadata)
            running = await self._join_or_start(place, upload_id, size_bytes, sha256)
        await asyncio.wait([running.task])
        if running.task.cancelled():
            raise UnavailableError(
                f"completing {upload_id.name} was cut off; ask GetUpload whether it is still there"
            )
        return running.task.result()

    async def _join_or_start(
        self, place: Place, upload_id: UploadId, size_bytes: int, sha256: str
    ) -> _Running:
        upload = await self._get(place, upload_id)
        running = self._running.get(place)
        if running is None:
            await self._seal(upload, size_bytes)
            work = self._complete(place, upload, size_bytes, sha256)
            task = asyncio.create_task(work, name=f"complete {upload_id.name}")
            running = _Running(task=task, size_bytes=size_bytes, sha256=sha256)
            self._running[place] = running
            task.add_done_callback(lambda ended: self._note_end(place, upload_id, ended))
        elif (running.size_bytes, running.sha256) != (size_bytes, sha256):
            raise FailedPreconditionError(
                f"{upload_id.name} is being completed with another size or digest; "
                "wait for that to end"
            )
        return running

    async def _seal(self, upload: Upload, size_bytes: int) -> None:
        check_size(upload, size_bytes)
        try:
            await upload.seal()
            check_size(upload, size_bytes)  # a write that was under way may have added to it
        except BaseException:
            upload.unseal()
            raise

    def _note_end(
        self, place: Place, upload_id: UploadId, ended: "asyncio.Task[ObjectRecord]"
    ) -> None:
        del self._running[place]
        if not ended.cancelled() and (error := ended.exception()) is not None:
            _log.warning(
                "upload_not_completed",
                upload=upload_id.name,
                tenant=place.tenant,
                error=str(error),
                exc_info=None if isinstance(error, DistconvError) else error,
            )

    async def _complete(
        self, place: Place, upload: Upload, size_bytes: int, sha256: str
    ) -> ObjectRecord:
        try:
            async with (
                self._completion.prepared(upload, size_bytes=size_bytes, sha256=sha256) as ready,
                self._owners.own(place),
            ):
                await uncancelled(self._commit(place, ready))
        except (DataLossError, CorruptSourceError, UnsupportedSourceError) as error:
            # No second try can mend it: free the bytes, and remember why.
            self._verdicts[place] = _Verdict(
                nonce=upload.record.nonce, error=error, time=self._clock.now()
            )
            await uncancelled(self._forget(place))
            raise
        except BaseException:
            upload.unseal()
            raise
        return ready.record

    async def _commit(self, place: Place, ready: Prepared) -> None:
        """Publish the content, then put the record, whose appearance is the commit.

        Until then the staging stays whole: a crash anywhere leaves an upload
        on which CompleteUpload can be called again.
        """
        try:
            await ready.publish()
            await self._objects.commit(place, ready.record)
        except BaseException:
            await self._objects.delete(place)
            raise
        await self._forget(place)
        _log.info(
            "object_committed",
            object=object_name(place.object_id),
            tenant=place.tenant,
            size_bytes=ready.record.size_bytes,
        )

    def _verdict(self, place: Place, upload_id: UploadId) -> DistconvError | None:
        verdict = self._verdicts.get(place)
        return verdict.error if verdict is not None and verdict.nonce == upload_id.nonce else None

    # --- give up ---------------------------------------------------------------------------

    async def abort(self, tenant: str, upload_id: UploadId) -> None:
        """Give an upload up; harmless when it is gone already.

        Raises FailedPreconditionError when it is completed.
        """
        place = Place(tenant=tenant, object_id=upload_id.object_id)
        async with self._owners.own(place):
            if await self.find_completed(tenant, upload_id) is not None:
                raise FailedPreconditionError(
                    f"{upload_id.name} is completed; delete {object_name(place.object_id)} instead"
                )
            record = await self.find(place)
            if record is not None and record.nonce == upload_id.nonce:
                await self._drop(place, record.nonce)

    async def delete_object(self, place: Place) -> None:
        """Delete an object and any upload of it; harmless when there is nothing."""
        async with self._owners.own(place):
            record = await self.find(place)
            if record is not None:
                await self._drop(place, record.nonce)
            await self._objects.delete(place)

    async def _drop(self, place: Place, nonce: str) -> None:
        await self._cancel_completion(place)
        await self._forget(place)
        upload_id = UploadId(object_id=place.object_id, nonce=nonce)
        await self._provider.discard_staging(place.staging_key(upload_id))

    async def _forget(self, place: Place) -> None:
        """Remove what is left of an upload: its record, then its bytes."""
        await self._provider.delete(place.upload_key)
        upload = self._open.pop(place, None)
        if upload is not None:
            await upload.give_up()

    async def _cancel_completion(self, place: Place) -> None:
        running = self._running.get(place)
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])

    # --- background and end ----------------------------------------------------------------

    async def sweep(self) -> None:
        """Give up what has expired, close the files of what rests, forget old verdicts."""
        now = self._clock.now()
        ttl = self._limits.upload_ttl
        self._verdicts = {p: v for p, v in self._verdicts.items() if v.time + ttl > now}
        for place in list(self._open):
            async with self._owners.own(place):
                await self._sweep_open(place, now)
        for staging in await self._provider.stagings():
            place, nonce = parse_staging(staging.key)
            if staging.modified_time + ttl <= now:
                async with self._owners.own(place):
                    await self._sweep_closed(place, nonce)

    async def _sweep_open(self, place: Place, now: datetime) -> None:
        upload = self._open.get(place)
        if upload is None or upload.users or upload.completing:
            return
        if upload.expire_time <= now:
            await self._expire(place, upload.record.nonce)
        elif upload.active_time + self._limits.rest_after <= now:
            del self._open[place]
            await upload.close()

    async def _sweep_closed(self, place: Place, nonce: str) -> None:
        record = await self.find(place)
        if record is None or record.nonce != nonce:
            upload_id = UploadId(object_id=place.object_id, nonce=nonce)
            await self._provider.discard_staging(place.staging_key(upload_id))
        elif place not in self._open:
            await self._expire(place, nonce)

    async def _expire(self, place: Place, nonce: str) -> None:
        await self._drop(place, nonce)
        _log.info("upload_expired", object=object_name(place.object_id), tenant=place.tenant)

    async def stop(self) -> None:
        """Cut completions off and close every file; what arrived is kept."""
        self._owners.close()
        for place in list(self._running):
            await self._cancel_completion(place)
        for upload in list(self._open.values()):
            await upload.close()
        self._open.clear()


def _require_same_size(record: UploadRecord, size_bytes: int) -> None:
    if size_bytes and record.size_bytes and size_bytes != record.size_bytes:
        raise InvalidArgumentError(
            f"an upload of {object_name(record.object_id)} with {record.size_bytes} bytes is "
            f"open, not one with {size_bytes}; go on with it, or abort it first",
            field="size_bytes",
        )


def _same_content(
    record: ObjectRecord, upload_id: UploadId, size_bytes: int, sha256: str
) -> ObjectRecord:
    if (record.received_size_bytes, record.received_sha256) != (size_bytes, sha256):
        raise DataLossError(
            f"{upload_id.name} was completed with {record.received_size_bytes} bytes of SHA-256 "
            f"{record.received_sha256}, not with {size_bytes} of {sha256}; "
            "upload the other content to another object"
        )
    return record
