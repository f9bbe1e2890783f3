"""The background duty that sees, for those who follow uploads, what other processes do to them."""

import asyncio
from datetime import timedelta

import structlog

from distconv.core.errors import DistconvError
from distconv.storage.uploads import Uploads

_log = structlog.get_logger()


async def watch_followed(uploads: Uploads, *, interval: timedelta) -> None:
    """Look at the uploads that are followed every `interval`, until cancelled."""
    while True:
        await asyncio.sleep(interval.total_seconds())
        try:
            await uploads.look_at_followed()
        except DistconvError as error:  # an object store that is away comes back
            _log.warning("look_at_followed_failed", error=error.message)
        except Exception:  # noqa: BLE001  # logged with its traceback; the duty goes on
            _log.exception("look_at_followed_failed")
