"""The uploads that are open: their records at the provider, and what is in memory of them."""

from functools import partial

from distconv.core.clock import Clock
from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    NotFoundError,
    UnavailableError,
)
from distconv.storage.digest import FrontierDigest
from distconv.storage.limits import Limits
from distconv.storage.names import Place, UploadId, uploads_prefix
from distconv.storage.owners import Owners
from distconv.storage.providers.port import Provider
from distconv.storage.quotas import Quotas
from distconv.storage.records import UploadRecord, dump, load_upload
from distconv.storage.threads import Threads
from distconv.storage.upload import Upload


class UploadTable:
    """Find, open and forget uploads; whoever changes one owns its place (`owners`).

    An object has one upload at a time. Its record and its staging outlive the
    process; an `Upload` in memory is made of them when somebody asks.

    At a shared place other processes create, fill, complete and give up the
    same uploads. There the record is what counts, and what is in memory of an
    upload whose record has gone is left behind.
    """

    def __init__(
        self,
        *,
        provider: Provider,
        quotas: Quotas,
        threads: Threads,
        limits: Limits,
        clock: Clock,
    ) -> None:
        self.owners = Owners()
        self.open: dict[Place, Upload] = {}
        self._provider = provider
        self._quotas = quotas
        self._threads = threads
        self._limits = limits
        self._clock = clock

    async def create(self, record: UploadRecord) -> Upload:
        """Put a record down and open its upload; or that of another process that was quicker."""
        place = Place(tenant=record.tenant, object_id=record.object_id)
        # The staging first: one without a record is removed at the next start.
        upload = await self.opened(place, record)
        try:
            await self._provider.create(place.upload_key, dump(record))
        except AlreadyExistsError:
            return await self._standing(place, record.nonce)
        except BaseException:
            end = self.leave if self._provider.shared else self.forget
            await end(place, record.nonce)
            raise
        return upload

    async def _standing(self, place: Place, nonce: str) -> Upload:
        await self.leave(place, nonce)
        record = await self.find(place)
        if record is None:
            raise UnavailableError(
                f"another upload of objects/{place.object_id} began and ended meanwhile; try again"
            )
        return await self.opened(place, record)

    async def find(self, place: Place) -> UploadRecord | None:
        """Return the record of the object's upload under way, None when there is none."""
        if place in self.open and not self._provider.shared:
            return self.open[place].record
        try:
            text = await self._provider.get(place.upload_key)
        except NotFoundError:
            return None
        return load_upload(text, key=place.upload_key)

    async def current(self, place: Place) -> UploadRecord | None:
        """Return the record as `find` does, and leave an upload that another process has ended."""
        record = await self.find(place)
        upload = self.open.get(place)
        if upload is not None and (record is None or record.nonce != upload.record.nonce):
            await self.leave(place, upload.record.nonce)
        return record

    async def was_given_up(self, place: Place, nonce: str) -> bool:
        """Say whether another process has given up the upload that was just committed here."""
        if not self._provider.shared:
            return False
        record = await self.find(place)
        return record is None or record.nonce != nonce

    async def opened(
        self, place: Place, record: UploadRecord, *, goes_on: bool = True, look: bool = True
    ) -> Upload:
        """Return the upload of a record, with what an earlier process took of it.

        `goes_on` says that it is asked for by who fills it, which keeps it
        alive; one who only reads it does not. Without `look` what other
        processes took since it was opened here may be unknown, and costs nothing.
        """
        now = self._clock.now()
        if place not in self.open:
            key = place.staging_key(UploadId(object_id=place.object_id, nonce=record.nonce))
            self.open[place] = Upload(
                record,
                await self._provider.stage(key),
                digest=FrontierDigest(self._threads, size_bytes=record.size_bytes),
                limits=self._limits,
                clock=self._clock,
                active_time=now,
                cover=partial(self._quotas.cover, record),
                is_covered=partial(self._quotas.is_covered, record),
            )
        elif look:
            await self.open[place].refresh()
        upload = self.open[place]
        if goes_on:
            upload.active_time = now
        return upload

    async def ids(self, tenant: str) -> list[str]:
        """Return the ids of the objects of a tenant that are being uploaded, sorted."""
        prefix = uploads_prefix(tenant)
        return [key.removeprefix(prefix) for key in await self._provider.keys(prefix)]

    async def forget(self, place: Place, nonce: str) -> None:
        """Remove what is left of an upload: its record, then its bytes; a newer one's stay."""
        try:
            record = await self.find(place)
            is_its = record is not None and record.nonce == nonce
        except DataLossError:  # a record that cannot be read is of no newer upload that goes on
            is_its = True
        if is_its:
            await self._provider.delete(place.upload_key)
        try:
            # A write that is under way ends first: it may reserve more yet.
            await self.leave(place, nonce)
        finally:
            await self._quotas.release(place, nonce)

    async def leave(self, place: Place, nonce: str) -> None:
        """Let go of what is in memory of an upload that has ended, and free its bytes.

        That of a newer upload of the object stays.
        """
        upload = self.open.get(place)
        if upload is not None and upload.record.nonce == nonce:
            del self.open[place]
            await upload.give_up()

    async def drop(self, place: Place, nonce: str) -> None:
        """Forget an upload, and free the bytes of it that nobody has open."""
        await self.forget(place, nonce)
        upload_id = UploadId(object_id=place.object_id, nonce=nonce)
        await self._provider.discard_staging(place.staging_key(upload_id))

    async def rest(self, place: Place, nonce: str) -> None:
        """Close the files of an upload and keep its bytes."""
        upload = self.open.get(place)
        if upload is not None and upload.record.nonce == nonce:
            del self.open[place]
            await upload.close()

    async def close(self) -> None:
        """Close every file; what arrived is kept."""
        for place, upload in list(self.open.items()):
            await self.rest(place, upload.record.nonce)
