"""Collect what nobody can use any more: abandoned uploads, and what a step that was cut off left.

Storage knows objects, not jobs: it never takes a committed object. What may be
somebody's work at this moment is left alone until it is `grace` old.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError, NotFoundError, UnavailableError
from distconv.storage.names import Place, parse_data, tenant_prefix
from distconv.storage.objects import Objects
from distconv.storage.providers.port import Provider, Stat
from distconv.storage.quotas import is_reservation, reserved_place
from distconv.storage.recovery import orphan_contents
from distconv.storage.uploads import Uploads

_log = structlog.get_logger()


class CollectReason(StrEnum):
    """Why something is collected."""

    ABANDONED_UPLOAD = "ABANDONED_UPLOAD"
    LEFTOVER = "LEFTOVER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """Something that is collected, or would be: of which object, why, and how many bytes."""

    place: Place
    reason: CollectReason
    size_bytes: int


class Collector:
    """Collect, of one tenant at a time."""

    def __init__(
        self,
        *,
        provider: Provider,
        objects: Objects,
        uploads: Uploads,
        grace: timedelta,
        clock: Clock,
    ) -> None:
        """`grace` is how long a content or a reservation may be without its record."""
        self._provider = provider
        self._objects = objects
        self._uploads = uploads
        self._grace = grace
        self._clock = clock

    async def collect(self, tenant: str, *, dry_run: bool) -> list[Collected]:
        """Collect, and say what; with `dry_run` only say what would be.

        What lies in a pool beside the main one that is away waits until it is back.
        """
        found = await self._abandoned(tenant, dry_run=dry_run)
        keys = set(await self._provider.keys(tenant_prefix(tenant), skip_away=True))
        found += await self._leftovers(keys, dry_run=dry_run)
        if not dry_run:
            await self._objects.contents.mend(keys)
        if found and not dry_run:
            size_bytes = sum(one.size_bytes for one in found)
            _log.info("collected", tenant=tenant, count=len(found), size_bytes=size_bytes)
        return found

    async def _abandoned(self, tenant: str, *, dry_run: bool) -> list[Collected]:
        found: list[Collected] = []
        for staging in await self._provider.stagings(skip_away=True):
            place, nonce = parse_data(staging.key)
            if place.tenant != tenant or not self._uploads.is_abandoned(place, staging):
                continue
            if not dry_run:
                try:
                    await self._uploads.sweep_closed(place, nonce)
                except DistconvError as error:  # the others must not wait for it
                    _log.warning("upload_not_collected", key=staging.key, error=error.message)
                    continue
            found.append(
                Collected(
                    place=place,
                    reason=CollectReason.ABANDONED_UPLOAD,
                    size_bytes=staging.size_bytes,
                )
            )
        return found

    async def _leftovers(self, keys: set[str], *, dry_run: bool) -> list[Collected]:
        """Return contents that no record refers to; reservations without an upload are of none."""
        found: list[Collected] = []
        for stat in await self._old(await orphan_contents(self._provider, keys)):
            place, _ = parse_data(stat.key)
            if not dry_run and not await self._delete(stat.key):
                continue
            found.append(
                Collected(place=place, reason=CollectReason.LEFTOVER, size_bytes=stat.size_bytes)
            )
        if not dry_run:
            alone = (
                key for key in keys
                if is_reservation(key) and reserved_place(key).upload_key not in keys
            )  # fmt: skip
            for stat in await self._old(alone):
                await self._delete(stat.key)
        return found

    async def _delete(self, key: str) -> bool:
        """Delete a leftover, and say whether that went; the others must not wait for it."""
        try:
            await self._provider.delete(key)
        except DistconvError as error:
            _log.warning("leftover_not_collected", key=key, error=error.message)
            return False
        return True

    async def _old(self, keys: Iterable[str]) -> list[Stat]:
        """Return those that are older than the grace."""
        before: datetime = self._clock.now() - self._grace
        found: list[Stat] = []
        for key in sorted(keys):
            try:
                stat = await self._provider.stat(key)
            except NotFoundError:
                continue
            except UnavailableError as error:
                _log.warning("leftover_not_collected", key=key, error=error.message)
                continue
            if stat.modified_time <= before:
                found.append(stat)
        return found
