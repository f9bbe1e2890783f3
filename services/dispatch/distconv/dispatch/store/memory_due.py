"""What is due at a time, and when next, in memory."""

from collections.abc import Sequence
from datetime import datetime

from distconv.dispatch.store.memory_tables import Tables, expiry, live
from distconv.dispatch.store.records import AttemptRecord, GarbageRecord, JobRecord, TaskRecord


class MemoryDue:
    """The part of a store from which duties learn what to do, and when to look again."""

    _t: Tables

    async def list_due_promotions(self, now: datetime, *, limit: int) -> Sequence[TaskRecord]:
        """Return tasks whose `promote_time` has come."""
        due = [
            (t.promote_time, t.id, t)
            for t in self._t.tasks.values()
            if t.promote_time is not None and t.promote_time <= now
        ]
        return [task for _, _, task in sorted(due, key=lambda row: row[:2])[:limit]]

    async def get_next_promote_time(self) -> datetime | None:
        """Return when the next task is to be promoted."""
        return min((t.promote_time for t in self._t.tasks.values() if t.promote_time), default=None)

    async def list_expired_leases(self, now: datetime, *, limit: int) -> Sequence[AttemptRecord]:
        """Return live attempts whose lease has ended."""
        return sorted((a for a in live(self._t) if expiry(a) <= now), key=expiry)[:limit]

    async def get_next_lease_expiry(self) -> datetime | None:
        """Return when the next lease ends."""
        return min((expiry(a) for a in live(self._t)), default=None)

    async def list_due_retries(self, now: datetime, *, limit: int) -> Sequence[TaskRecord]:
        """Return BACKING_OFF tasks whose time has come."""
        due = [
            (t.retry_time, t.id, t)
            for t in self._t.tasks.values()
            if t.retry_time is not None and t.retry_time <= now
        ]
        return [task for _, _, task in sorted(due, key=lambda row: row[:2])[:limit]]

    async def get_next_retry_time(self) -> datetime | None:
        """Return when the next retry is due."""
        return min((t.retry_time for t in self._t.tasks.values() if t.retry_time), default=None)

    async def list_expired_jobs(self, now: datetime, *, limit: int) -> Sequence[JobRecord]:
        """Return jobs whose ttl has ended."""
        due = [
            (j.expire_time, j.id, j)
            for j in self._t.jobs.values()
            if j.expire_time is not None and j.expire_time <= now and not j.state.is_terminal
        ]
        return [job for _, _, job in sorted(due, key=lambda row: row[:2])[:limit]]

    async def get_next_job_expiry(self) -> datetime | None:
        """Return when the next ttl ends."""
        return min(
            (
                j.expire_time
                for j in self._t.jobs.values()
                if j.expire_time and not j.state.is_terminal
            ),
            default=None,
        )

    async def list_due_garbage(self, now: datetime, *, limit: int) -> Sequence[GarbageRecord]:
        """Return objects whose deletion is due."""
        due = [g for g in self._t.garbage.values() if g.due_time <= now]
        return sorted(due, key=lambda g: (g.due_time, g.object_id))[:limit]

    async def get_next_garbage_time(self) -> datetime | None:
        """Return when the next deletion is due."""
        return min((g.due_time for g in self._t.garbage.values()), default=None)
