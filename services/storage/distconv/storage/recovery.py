"""Put in order what a crash left: done once, before anything is served.

Kept are committed objects, and uploads that have both a record and a staging.
Everything else is the trace of a step that was cut off, and is removed.
"""

import structlog

from distconv.core.errors import DataLossError, NotFoundError
from distconv.storage.names import Place, UploadId, parse_staging
from distconv.storage.providers.port import Provider
from distconv.storage.records import load_upload

_log = structlog.get_logger()


async def recover(provider: Provider) -> int:
    """Remove orphans; return how many there were."""
    keys = set(await provider.keys())
    removed = 0
    for staging in await provider.stagings():
        place, nonce = parse_staging(staging.key)
        if place.object_key in keys or await _nonce(provider, place) != nonce:
            await provider.discard_staging(staging.key)
            removed += 1
    staged = {staging.key for staging in await provider.stagings()}
    for key in sorted(keys):
        if await _is_orphan(provider, key, keys, staged):
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


async def _is_orphan(provider: Provider, key: str, keys: set[str], staged: set[str]) -> bool:
    tenant, kind, name = key.split("/")
    place = Place(tenant=tenant, object_id=name)
    if kind == "data":  # published, but its record was never put or is deleted already
        return place.object_key not in keys
    if kind == "uploads":
        if place.object_key in keys:
            return True
        nonce = await _nonce(provider, place)
        if nonce is None:
            return True
        return place.staging_key(UploadId(object_id=name, nonce=nonce)) not in staged
    return False
