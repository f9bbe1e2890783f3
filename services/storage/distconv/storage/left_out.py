"""See that no pool was left out of the settings while something lies in it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from distconv.core.errors import DataLossError, FailedPreconditionError, NotFoundError
from distconv.core.names import object_name
from distconv.storage.contents import is_entry
from distconv.storage.names import Place, parse_content
from distconv.storage.providers.port import Provider
from distconv.storage.records import ObjectRecord, UploadRecord, load_object, load_upload


class _Load(Protocol):
    def __call__(self, text: bytes, *, key: str) -> ObjectRecord | UploadRecord: ...


_RECORDS: Mapping[str, _Load] = {"objects": load_object, "uploads": load_upload}


async def require_empty(provider: Provider, left_out: Sequence[str]) -> None:
    """Raise FailedPreconditionError when an object or an upload lies in one of the pools.

    `provider` is the main pool. Lists all its keys when there are such pools, and costs
    nothing otherwise.
    """
    if not left_out:
        return
    async for pool, place in _placed(provider, await provider.keys()):
        if pool in left_out:
            raise FailedPreconditionError(
                f"the storage pool '{pool}' is not among the setting pools any more, and "
                f"{object_name(place.object_id)} of the tenant '{place.tenant}' lies in it, "
                "perhaps others too: put the pool back there; before it is taken away, delete what "
                "it holds"
            )


async def _placed(provider: Provider, keys: Sequence[str]) -> AsyncIterator[tuple[str, Place]]:
    """Yield the pool of every object and upload; records are read where the index has none."""
    noted: set[str] = set()
    for entry in map(parse_content, filter(is_entry, keys)):
        noted.add(entry.place.object_key)
        yield entry.pool, entry.place
    for key in keys:
        tenant, kind, object_id = key.split("/")[:3]
        if kind not in _RECORDS or key in noted:
            continue
        try:
            record = _RECORDS[kind](await provider.get(key), key=key)
        except (DataLossError, NotFoundError):  # it says of no pool, or has just gone
            continue
        yield record.pool, Place(tenant=tenant, object_id=object_id)
