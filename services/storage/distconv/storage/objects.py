"""The catalogue of committed objects: a record each, whose presence is the commit."""

from collections.abc import Sequence
from dataclasses import dataclass

from distconv.core.errors import NotFoundError
from distconv.core.names import object_name
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
        """Open the object's content. Raises NotFoundError."""
        record = await self.get(place)
        try:
            reader = await self._provider.open(place.data_key)
        except NotFoundError:  # deleted between the two
            raise missing(place) from None
        return Opened(record=record, reader=reader)

    async def commit(self, place: Place, record: ObjectRecord) -> None:
        """Make the object exist; its content has been published before."""
        await self._provider.put(place.object_key, dump(record))

    async def delete(self, place: Place) -> None:
        """Delete the object; a missing one is deleted."""
        # The record first: an object without content must never be seen. What
        # a crash leaves of the content, the next start removes.
        await self._provider.delete(place.object_key)
        await self._provider.delete(place.data_key)

    async def ids(self, tenant: str) -> Sequence[str]:
        """Return the ids of the tenant's objects, sorted."""
        prefix = objects_prefix(tenant)
        return [key.removeprefix(prefix) for key in await self._provider.keys(prefix)]


def missing(place: Place) -> NotFoundError:
    """Say that an object does not exist."""
    return NotFoundError(
        f"{object_name(place.object_id)} does not exist; it was never committed, or was deleted"
    )
