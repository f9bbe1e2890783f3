"""Where the bytes of a source come from: a shared folder, the bucket of storage, or storage."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from distconv.core.clock import SystemClock
from distconv.core.errors import DistconvError, FailedPreconditionError
from distconv.engine.checked_source import CheckedSource
from distconv.engine.direct_source import DirectSource
from distconv.engine.runner.config import RunnerConfig
from distconv.engine.shared_folder import find_shared
from distconv.engine.source import Source, StorageSource
from distconv.engine.storage_link import StorageLink

_log = structlog.get_logger()

_SAID = "shared-folder-not-proved"


@asynccontextmanager
async def opened(
    link: StorageLink, size_bytes: int, config: RunnerConfig
) -> AsyncIterator[CheckedSource]:
    """Open the source of a link: in a shared folder when that is proved, else bucket or storage."""
    found = await _shared(link, size_bytes, config) or _away(link, size_bytes, config)
    source = CheckedSource(found, link)
    try:
        yield source
    finally:
        await source.close()


def _away(link: StorageLink, size_bytes: int, config: RunnerConfig) -> Source:
    through_storage = StorageSource(link, size_bytes)
    if not config.direct_reads:
        return through_storage
    return DirectSource(through_storage, link, SystemClock(), budget_bytes=config.direct_read_bytes)


async def _shared(link: StorageLink, size_bytes: int, config: RunnerConfig) -> Source | None:
    if not config.shared_folders:
        return None
    try:
        return await find_shared(link, size_bytes, [Path(f) for f in config.shared_folders])
    except FailedPreconditionError:  # it is still being uploaded
        return None
    except DistconvError as error:
        # Each attempt has a process of its own; all of an engine's together say it once.
        said = Path(config.scratch_folder) / _SAID
        with contextlib.suppress(OSError):
            said.touch(exist_ok=False)
            _log.warning("shared_folder_not_proved", error=error.message)
        return None
