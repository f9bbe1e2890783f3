"""Is a source at fault, or what storage holds of it? Told by reading it once more, whole."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog

from distconv.core.errors import (
    CorruptSourceError,
    DamagedObjectError,
    DataLossError,
    DistconvError,
    EncodeFailedError,
    UnsupportedSourceError,
    VerificationError,
)
from distconv.engine.source import StorageSource
from distconv.engine.storage_link import StorageLink

_log = structlog.get_logger()

# What bytes that changed in storage may look like from here.
_SUSPECT = (
    CorruptSourceError,
    DataLossError,
    EncodeFailedError,
    UnsupportedSourceError,
    VerificationError,
)
_READ_BYTES = 4 * 1024 * 1024


@asynccontextmanager
async def damage_told(link: StorageLink) -> AsyncIterator[None]:
    """Raise DamagedObjectError in place of the block's error when damage in storage explains it."""
    try:
        yield
    except DamagedObjectError:
        raise
    except _SUSPECT:
        await _require_intact(link)
        raise


async def _require_intact(link: StorageLink) -> None:
    """Raise DamagedObjectError when a committed source has another digest than it was given.

    What cannot be told, storage being away or the upload under way, is no damage.
    """
    try:
        committed = await link.committed()
        if committed is None:
            return
        size_bytes, sha256 = committed
        found = await _digest(link, size_bytes)
    except DamagedObjectError:
        raise
    except DistconvError as error:
        _log.warning("source_not_checked", object=link.grant.object_name, error=error.message)
        return
    if found != sha256:
        raise DamagedObjectError.of(
            link.grant.object_name,
            f"its bytes have the SHA-256 {found[:12]}… and not {sha256[:12]}…, with which it was "
            "committed",
        )


async def _digest(link: StorageLink, size_bytes: int) -> str:
    # Through storage, whose chunks carry checksums: what differs then, differs where it lies.
    source = StorageSource(link, size_bytes)
    digest = hashlib.sha256()
    try:
        for offset in range(0, size_bytes, _READ_BYTES):
            await asyncio.to_thread(digest.update, await source.read(offset, _READ_BYTES))
    finally:
        await source.close()
    return digest.hexdigest()
