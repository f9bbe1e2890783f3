"""The catalogue of committed objects: a record each, whose presence is the commit."""

from collections.abc import Sequence
from dataclasses import dataclass

from distconv.core.errors import (
    AlreadyExistsError,
    DamagedObjectError,
    DataLossError,
    NotFoundError,
)
from distconv.core.names import object_name
from distconv.storage.contents import Contents
from distconv.storage.names import Place, UploadId, objects_prefix
from distconv.storage.providers.port import Provider, Reader
from distconv.storage.records import ObjectRecord, dump, load_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An object open for reading; close the reader."""

    record: ObjectRecord
    reader: Reader


class Objects:
    """Find, open, commit and delete objects."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.contents = Contents(provider, self.find)

    async def find(self, place: Place) -> ObjectRecord | None:
        """Return the object's record, None when it is not committed."""
        try:
            text = await self._provider.get(place.object_key)
        except NotFoundError:
            return None
        return load_object(text, key=place.object_key)

    async def get(self, place: Place) -> ObjectRecord:
        """Return the object's record. Raises NotFoundError."""
        record = await self.find(place)
        if record is None:
            raise missing(place)
        return record

    async def find_of_upload(self, tenant: str, upload_id: UploadId) -> ObjectRecord | None:
        """Return the object that an upload became, None when it is not committed."""
        record = await self.find(Place(tenant=tenant, object_id=upload_id.object_id))
        return record if record is not None and record.nonce == upload_id.nonce else None

    async def open(self, place: Place) -> Opened:
        """Open the object's content. Raises NotFoundError or DamagedObjectError."""
        record = await self.get(place)
        try:
            reader = await self._provider.open(place.data_key(record.version))
        except NotFoundError:
            # A deletion takes the record first: one that stands has lost its content.
            if await self.find(place) == record:
                raise wrong_length(record, 0) from None
            raise missing(place) from None
        if reader.size_bytes != record.size_bytes:
            await reader.close()
            raise wrong_length(record, reader.size_bytes)
        return Opened(record=record, reader=reader)

    async def commit(self, place: Place, record: ObjectRecord) -> ObjectRecord:
        """Make the object exist; its content has been published before.

        Returns the record that stands: that of another process when that one
        was quicker, and then nothing refers to the content given here.
        """
        try:
            await self._provider.create(place.object_key, dump(record))
        except AlreadyExistsError:
            return await self.get(place)
        await self.contents.note(record)
        return record

    async def delete(self, place: Place) -> None:
        """Delete the object; a missing one is deleted."""
        # The record first: an object without content must never be seen. What
        # a crash leaves of the content is an orphan, and is collected.
        try:
            record = await self.find(place)
        except DataLossError:  # a record that cannot be read any more; its content is an orphan
            await self._provider.delete(place.object_key)
            return
        if record is not None:
            await self._provider.delete(place.object_key)
            await self.delete_content(place, record.version)
            await self.contents.forget(record)

    async def withdraw(self, place: Place, record: ObjectRecord) -> None:
        """Take back a commit that failed half-way.

        At a shared place it may yet come to pass (a request that was cut off is
        carried out late), so that its content has to stay: it is the object's,
        or an orphan.
        """
        if not self._provider.shared:
            await self._provider.delete(place.object_key)
            await self.delete_content(place, record.version)

    async def delete_content(self, place: Place, version: str) -> None:
        """Delete a content that no record refers to; a missing one is deleted."""
        await self._provider.delete(place.data_key(version))

    async def ids(self, tenant: str) -> Sequence[str]:
        """Return the ids of the tenant's objects, sorted."""
        prefix = objects_prefix(tenant)
        return [key.removeprefix(prefix) for key in await self._provider.keys(prefix)]


def wrong_length(record: ObjectRecord, size_bytes: int) -> DamagedObjectError:
    """Say that an object's content has so many bytes, and not those that were committed."""
    return DamagedObjectError.of(
        object_name(record.object_id), f"{size_bytes} of {record.size_bytes} bytes are stored"
    )


def missing(place: Place) -> NotFoundError:
    """Say that an object does not exist."""
    return NotFoundError(
        f"{object_name(place.object_id)} does not exist; it was never committed, or was deleted"
    )
