"""Back up the embedded database on a schedule."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError
from distconv.dispatch.store import backup

_log = structlog.get_logger()

# After a failure (a full disk, say), or where there was nothing to keep yet, it is tried again so
# much later, or sooner if it is due.
_RETRY = timedelta(minutes=10)


class BackupKeeper:
    """Make a backup whenever the newest is old enough, and delete the oldest ones.

    Of an empty database none is made: it would only push others out.
    """

    name = "backup_keeper"

    def __init__(self, database: Path, clock: Clock, *, interval: timedelta, keep: int) -> None:
        """`keep` is how many backups stay."""
        self._database = database
        self._clock = clock
        self._interval = interval
        self._keep = keep

    async def run(self) -> datetime | None:
        """Make the backup that is due; return when the next is."""
        now = self._clock.now()
        due = self._due(now)
        if now < due:
            return due
        try:
            made = await asyncio.to_thread(self._make, now)
        except DistconvError as error:
            _log.error("backup_failed", database=str(self._database), why=error.message)
            made = False
        return now + (self._interval if made else min(_RETRY, self._interval))

    def _due(self, now: datetime) -> datetime:
        times = [
            time for path in backup.backups_of(self._database) if (time := backup.time_of(path))
        ]
        # One from the future was made under a clock that was wrong: it proves nothing.
        return max((time for time in times if time <= now), default=now - self._interval) + (
            self._interval
        )

    def _make(self, now: datetime) -> bool:
        """Make the backup; return whether there was anything to keep."""
        if self._database.exists() and backup.is_empty(self._database):
            return False
        target = backup.folder_of(self._database) / backup.name_at(now)
        size_bytes = backup.make(self._database, target)
        deleted = backup.prune(self._database, keep=self._keep)
        _log.info(
            "backup_made", backup=str(target), size_bytes=size_bytes, deleted_count=len(deleted)
        )
        return True
