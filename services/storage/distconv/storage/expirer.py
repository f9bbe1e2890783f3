"""The background duty that gives up abandoned uploads."""

import asyncio
from datetime import timedelta

import structlog

from distconv.core.errors import DistconvError
from distconv.storage.uploads import Uploads

_log = structlog.get_logger()


async def expire_uploads(uploads: Uploads, *, interval: timedelta) -> None:
    """Sweep the uploads every `interval`, until cancelled."""
    while True:
        await asyncio.sleep(interval.total_seconds())
        try:
            await uploads.sweep()
        except DistconvError as error:  # a disk that is away comes back
            _log.warning("sweep_failed", error=error.message)
        except Exception:  # noqa: BLE001  # logged with its traceback; the duty goes on
            _log.exception("sweep_failed")
