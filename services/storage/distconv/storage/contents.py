"""Which objects have which content: an index by size and digest, for uploads that need not be sent.

It is a hint that may lag behind: what it names is looked up, and believed only
when the object's record says the same. An entry is put after an object's commit
and deleted after its record; `mend` puts in order what a crash between the two left.
"""

from collections.abc import Awaitable, Callable, Iterable

import structlog

from distconv.core.errors import DataLossError, DistconvError, NotFoundError
from distconv.storage.names import Place, contents_prefix, parse_content
from distconv.storage.providers.port import Provider
from distconv.storage.records import ObjectRecord

_log = structlog.get_logger()

Find = Callable[[Place], Awaitable[ObjectRecord | None]]
"""Returns the record of a committed object, None when there is none."""


class Contents:
    """Note, forget and find contents."""

    def __init__(self, provider: Provider, find: Find) -> None:
        """`find` reads the record of an object."""
        self._provider = provider
        self._find = find

    async def note(self, record: ObjectRecord) -> None:
        """Note what an object holds that was committed; what cannot be noted is mended later."""
        try:
            await self._provider.put(_key(record), b"")
        except DistconvError as error:
            _log.warning("content_not_noted", object=record.object_id, error=error.message)

    async def forget(self, record: ObjectRecord) -> None:
        """Forget an object that was deleted."""
        await self._provider.delete(_key(record))

    async def is_size_known(self, tenant: str, size_bytes: int) -> bool:
        """Tell whether any object of the tenant may have that size."""
        return bool(await self._named(tenant, size_bytes, ""))

    async def find(self, tenant: str, size_bytes: int, sha256: str) -> ObjectRecord | None:
        """Return the tenant's newest object with that content, None when there is none.

        One whose record is damaged, or whose bytes are not as many, is passed over.
        """
        for place in reversed(await self._named(tenant, size_bytes, sha256)):
            record = await self._readable(place)
            if (
                record is not None
                and (record.size_bytes, record.sha256) == (size_bytes, sha256)
                and await self._is_stored(place, record)
            ):
                return record
        return None

    async def _is_stored(self, place: Place, record: ObjectRecord) -> bool:
        try:
            stat = await self._provider.stat(place.data_key(record.version))
        except NotFoundError:
            return False
        if stat.size_bytes != record.size_bytes:
            _log.warning(
                "object_damaged",
                object=record.object_id,
                tenant=record.tenant,
                stored_bytes=stat.size_bytes,
                size_bytes=record.size_bytes,
            )
        return stat.size_bytes == record.size_bytes

    async def _named(self, tenant: str, size_bytes: int, sha256: str) -> list[Place]:
        """Return the objects named for a content, or with no digest for a size, by id."""
        found: list[Place] = []
        for key in await self._provider.keys(contents_prefix(tenant, size_bytes)):
            entry = parse_content(key)
            if (entry.size_bytes, entry.sha256) == (size_bytes, sha256 or entry.sha256):
                found.append(entry.place)
        return sorted(found, key=lambda place: place.object_id)

    async def mend(self, keys: Iterable[str]) -> int:
        """Put the entries right for objects among `keys`, all that there are; return how many."""
        present = set(keys)
        entries: dict[Place, list[str]] = {}
        for key in sorted(present):
            if is_entry(key):
                entries.setdefault(parse_content(key).place, []).append(key)
        mended = 0
        for place, noted in entries.items():
            if place.object_key not in present or len(noted) > 1:
                mended += await self._drop_wrong(place, noted)
        for key in sorted(present):
            tenant, kind, object_id = key.split("/")[:3]
            if kind == "objects" and Place(tenant=tenant, object_id=object_id) not in entries:
                mended += await self._add(Place(tenant=tenant, object_id=object_id))
        return mended

    async def _drop_wrong(self, place: Place, noted: list[str]) -> int:
        record = await self._readable(place)
        wrong = [key for key in noted if record is None or key != _key(record)]
        for key in wrong:
            await self._provider.delete(key)
        return len(wrong)

    async def _add(self, place: Place) -> int:
        record = await self._readable(place)
        if record is None:
            return 0
        await self.note(record)
        if await self._readable(place) is None:  # deleted meanwhile
            await self.forget(record)
        return 1

    async def _readable(self, place: Place) -> ObjectRecord | None:
        try:
            return await self._find(place)
        except DataLossError as error:  # whoever reads the object is told; the others are mended
            _log.warning("object_record_damaged", error=error.message)
            return None


def is_entry(key: str) -> bool:
    """Tell whether a key is one of the index."""
    return key.split("/")[1] == "contents"


def _key(record: ObjectRecord) -> str:
    place = Place(tenant=record.tenant, object_id=record.object_id)
    return place.content_key(record.size_bytes, record.sha256, record.pool)
