"""Put in order what a crash left: done once, before anything is served.

Kept are committed objects, and uploads that have both a record and a staging.
Everything else is the trace of a step that was cut off, and is removed; but a
content in another pool than its record's, the main one, is left to the collector.
"""

import structlog

from distconv.core.errors import DataLossError, NotFoundError
from distconv.storage.names import MAIN_POOL, Place, UploadId, parse_data, pool_of
from distconv.storage.providers.port import Provider
from distconv.storage.quotas import is_reservation, reserved_place
from distconv.storage.records import load_object, load_upload

_log = structlog.get_logger()


async def recover(provider: Provider) -> int:
    """Remove orphans; return how many there were."""
    keys = set(await provider.keys())
    removed = 0
    for staging in await provider.stagings():
        place, nonce = parse_data(staging.key)
        if place.object_key in keys or await _nonce(provider, place) != nonce:
            await provider.discard_staging(staging.key)
            removed += 1
    staged = {staging.key for staging in await provider.stagings()}
    for key in sorted(keys):
        kind = key.split("/")[1]
        if kind == "uploads" and await _is_orphan_upload(provider, key, keys, staged):
            await provider.delete(key)
            removed += 1
    kept = set(await provider.keys())
    for key in filter(is_reservation, sorted(kept)):
        if reserved_place(key).upload_key not in kept:
            await provider.delete(key)
            removed += 1
    for key in await orphan_contents(provider, keys):
        if pool_of(key) == MAIN_POOL:  # elsewhere records and bytes are not of one disk
            await provider.delete(key)
            removed += 1
    if removed:
        _log.info("orphans_removed", count=removed)
    return removed


async def _nonce(provider: Provider, place: Place) -> str | None:
    try:
        text = await provider.get(place.upload_key)
        return load_upload(text, key=place.upload_key).nonce
    except NotFoundError:
        return None
    except DataLossError as error:  # an upload is sent again; the others must not wait for it
        _log.warning("upload_record_damaged", error=error.message)
        return None


async def _is_orphan_upload(provider: Provider, key: str, keys: set[str], staged: set[str]) -> bool:
    tenant, _, object_id = key.split("/")
    place = Place(tenant=tenant, object_id=object_id)
    if place.object_key in keys:
        return True
    nonce = await _nonce(provider, place)
    if nonce is None:
        return True
    return place.staging_key(UploadId(object_id=object_id, nonce=nonce)) not in staged


async def orphan_contents(provider: Provider, keys: set[str]) -> list[str]:
    """Return the contents that no record refers to: it was never put, or is deleted already."""
    contents: dict[Place, list[str]] = {}
    for key in sorted(keys):
        if key.split("/")[1] == "data":
            place, version = parse_data(key)
            contents.setdefault(place, []).append(version)
    orphans: list[str] = []
    for place, versions in contents.items():
        if place.object_key not in keys:
            orphans += (place.data_key(version) for version in versions)
        elif len(versions) > 1:  # one alone is the record's: no need to read them all
            orphans += await _outdated(provider, place, versions)
    return orphans


async def _outdated(provider: Provider, place: Place, versions: list[str]) -> list[str]:
    try:
        record = load_object(await provider.get(place.object_key), key=place.object_key)
    except DataLossError as error:  # whoever reads the object is told; until then nothing goes
        _log.warning("object_record_damaged", error=error.message)
        return []
    return [place.data_key(version) for version in versions if version != record.version]
