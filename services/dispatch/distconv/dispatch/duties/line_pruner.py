"""Forget lines in which nobody stands any more."""

from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes

_log = structlog.get_logger()

# Lines cost a look with every pass of the scheduler, and a row; making one anew costs little more.
_UNUSED_FOR = timedelta(hours=6)
_INTERVAL = timedelta(hours=1)


class LinePruner:
    """Prune lines that have been empty and unused for six hours, every hour."""

    name = "line_pruner"

    def __init__(self, changes: Changes, clock: Clock) -> None:
        self._changes = changes
        self._clock = clock

    async def run(self) -> datetime | None:
        """Prune; return when to do so again."""

        async def make(change: Change) -> int:
            return await change.tx.remove_idle_lines(unused_since=change.now - _UNUSED_FOR)

        pruned = await self._changes.make(make)
        if pruned:
            _log.info("lines_pruned", count=pruned)
        return self._clock.now() + _INTERVAL
