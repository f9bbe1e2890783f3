"""Complete uploads: once each, whoever asks and goes away, with the verdict kept."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import (
    AlreadyExistsError,
    CorruptSourceError,
    DataLossError,
    DistconvError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
    UnsupportedSourceError,
)
from distconv.core.names import object_name
from distconv.media.child import uncancelled
from distconv.storage.completion import Completion, Prepared, check_size
from distconv.storage.names import Place, UploadId
from distconv.storage.objects import Objects
from distconv.storage.providers.port import Published
from distconv.storage.records import ObjectRecord
from distconv.storage.upload import Upload
from distconv.storage.upload_table import UploadTable

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


class Completing:
    """The completions under way, and why those failed that no second try can mend."""

    def __init__(
        self, table: UploadTable, objects: Objects, completion: Completion, clock: Clock
    ) -> None:
        self._table = table
        self._objects = objects
        self._completion = completion
        self._clock = clock
        self._running: dict[tuple[Place, str], _Running] = {}  # by upload: place and nonce
        self._verdicts: dict[Place, _Verdict] = {}

    async def get(self, place: Place, upload_id: UploadId, *, look: bool = True) -> Upload:
        """Return an open upload; the caller owns its place. See `UploadTable.opened`.

        Raises NotFoundError, and FailedPreconditionError when it has failed.
        """
        record = await self._table.current(place)
        if record is not None and record.nonce == upload_id.nonce:
            return await self._table.opened(place, record, look=look)
        if (verdict := self.verdict(place, upload_id)) is not None:
            raise FailedPreconditionError(
                f"{upload_id.name} has failed and takes no more bytes: {verdict.message}"
            )
        raise NotFoundError(
            f"{upload_id.name} does not exist; it was given up or has expired: "
            "open another with CreateUpload"
        )

    async def complete(
        self, tenant: str, upload_id: UploadId, *, size_bytes: int, sha256: str
    ) -> ObjectRecord:
        """Check, finish and commit an upload; it goes on when the caller goes away.

        A second call joins the first, or gets what came of it.
        """
        place = Place(tenant=tenant, object_id=upload_id.object_id)
        async with self._table.owners.own(place):
            done = await self._objects.find_of_upload(tenant, upload_id)
            if done is not None:
                return _same_content(done, upload_id, size_bytes, sha256)
            if (error := self.verdict(place, upload_id)) is not None:
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
        upload = await self.get(place, upload_id)
        running = self._running.get((place, upload_id.nonce))
        if running is None:
            await self._seal(upload, size_bytes)
            work = self._complete(place, upload, size_bytes, sha256)
            task = asyncio.create_task(work, name=f"complete {upload_id.name}")
            running = _Running(task=task, size_bytes=size_bytes, sha256=sha256)
            self._running[place, upload_id.nonce] = running
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
        del self._running[place, upload_id.nonce]
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
                self._table.owners.own(place),
            ):
                return await uncancelled(self._commit(place, ready))
        except NotFoundError:
            # At a shared place another process may end an upload, by completing it or giving it up.
            done = await self._objects.find_of_upload(place.tenant, upload.id)
            await self._table.leave(place, upload.record.nonce)
            if done is None:
                raise
            return _same_content(done, upload.id, size_bytes, sha256)
        except (DataLossError, CorruptSourceError, UnsupportedSourceError) as error:
            # No second try can mend it: free the bytes, and remember why.
            self._verdicts[place] = _Verdict(
                nonce=upload.record.nonce, error=error, time=self._clock.now()
            )
            await uncancelled(self._table.forget(place, upload.record.nonce))
            raise
        except BaseException:
            upload.unseal()
            raise

    async def _commit(self, place: Place, ready: Prepared) -> ObjectRecord:
        """Publish the content, then put the record, whose appearance is the commit.

        Until then the staging stays whole: a crash anywhere leaves an upload
        on which CompleteUpload can be called again.
        """
        record = await self._publish(place, ready)
        try:
            standing = await self._objects.commit(place, record)
        except BaseException:
            await self._objects.withdraw(place, record)
            raise
        if standing.version != record.version:  # another process was quicker
            await self._objects.delete_content(place, record.version)
            if standing.nonce != record.nonce:
                raise AlreadyExistsError(
                    f"{object_name(place.object_id)} was committed by another upload meanwhile; "
                    "use it, or upload to another object"
                )
            # The record stays for the quicker one, to whom its absence would
            # mean that the upload was given up; should it crash, for the sweep.
            await self._table.rest(place, record.nonce)
            return standing
        if await self._table.was_given_up(place, standing.nonce):
            await self._objects.delete(place)
            raise NotFoundError(
                f"the upload of {object_name(place.object_id)} was given up while it was being "
                "completed; open another with CreateUpload"
            )
        await self._table.forget(place, record.nonce)
        _log.info(
            "object_committed",
            object=object_name(place.object_id),
            tenant=place.tenant,
            size_bytes=standing.size_bytes,
        )
        return standing

    async def _publish(self, place: Place, ready: Prepared) -> ObjectRecord:
        try:
            published = await ready.publish()
            _require_unchanged(published, ready.record)
        except BaseException:
            await self._objects.delete_content(place, ready.record.version)
            raise
        return replace(ready.record, blocks=published.blocks or ready.record.blocks)

    def verdict(self, place: Place, upload_id: UploadId) -> DistconvError | None:
        """Return why an upload failed for good."""
        verdict = self._verdicts.get(place)
        return verdict.error if verdict is not None and verdict.nonce == upload_id.nonce else None

    def last_verdict(self, place: Place) -> DistconvError | None:
        """Return why the object's last upload failed for good."""
        verdict = self._verdicts.get(place)
        return verdict.error if verdict is not None else None

    def begin_anew(self, place: Place) -> None:
        """Forget the verdict on an earlier upload of the object."""
        self._verdicts.pop(place, None)

    def forget_older(self, now: datetime, ttl: timedelta) -> None:
        """Forget verdicts that nobody asks for any more."""
        self._verdicts = {p: v for p, v in self._verdicts.items() if v.time + ttl > now}

    async def cancel(self, place: Place, nonce: str) -> None:
        """Cut the completion of an upload off; harmless when there is none."""
        running = self._running.get((place, nonce))
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])

    async def stop(self) -> None:
        """Cut every completion off."""
        for place, nonce in list(self._running):
            await self.cancel(place, nonce)


def _require_unchanged(published: Published, record: ObjectRecord) -> None:
    if published.sha256 not in (None, record.sha256):
        raise UnavailableError(
            f"the content of {object_name(record.object_id)} changed on its way to where it is "
            f"kept (SHA-256 {published.sha256} instead of {record.sha256}); "
            "send CompleteUpload again"
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
