"""Collect stored objects that no job needs any more: dispatch alone knows which those are."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

import structlog

from distconv.core.clock import Clock
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.objects.access import REMEMBERED
from distconv.dispatch.objects.port import Collected, CollectReason, Objects, StoredObject
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import AttemptRecord

_log = structlog.get_logger()


class ObjectCollecting:
    """Find outputs that did not win or have expired, and have storage collect its leftovers.

    What a user uploaded is never taken, whether or not a job knows it. An output
    is decided on in a transaction that locks its job and its tenant, so that none
    goes that is being published or becomes a source meanwhile; it is left to the
    garbage collector then.
    """

    def __init__(
        self,
        *,
        store: Store,
        changes: Changes,
        objects: Objects,
        clock: Clock,
        output_retention: timedelta | None,
    ) -> None:
        """`output_retention` is how long a job's result is kept after its end; None: for ever."""
        self._store = store
        self._changes = changes
        self._objects = objects
        self._clock = clock
        self._retention = output_retention

    async def collect(self, tenant: str, *, dry_run: bool) -> Sequence[Collected]:
        """Collect, and say what; with `dry_run` only say what would be.

        Raises UnavailableError when storage cannot be asked.
        """
        found: list[Collected] = []
        async with aclosing(self._outputs(tenant)) as outputs:
            async for stored, attempt in outputs:
                reason = await self._decided(stored, attempt, dry_run=dry_run)
                if reason is not None:
                    found.append(
                        Collected(object_id=stored.id, reason=reason, size_bytes=stored.size_bytes)
                    )
        found += await self._objects.collect(tenant, dry_run=dry_run)
        if found and not dry_run:
            size_bytes = sum(one.size_bytes for one in found)
            _log.info("objects_collected", tenant=tenant, count=len(found), size_bytes=size_bytes)
        return found

    async def _outputs(
        self, tenant: str
    ) -> AsyncGenerator[tuple[StoredObject, AttemptRecord], None]:
        """Yield the tenant's stored objects that attempts wrote which have ended."""
        token = ""
        while True:
            page, token = await self._objects.page(tenant, token)
            for stored in page:
                attempt = await self._store.get_attempt_of_object(tenant, stored.id)
                if attempt is not None and not attempt.state.is_live:
                    yield stored, attempt
            if not token:
                return

    async def _decided(
        self, stored: StoredObject, attempt: AttemptRecord, *, dry_run: bool
    ) -> CollectReason | None:
        """Leave an output to the collector, if it may go; say why it does."""

        async def make(change: Change) -> CollectReason | None:
            reason = await self._reason(change, stored.id, attempt)
            if reason is not None and not dry_run:
                await change.discard_object(
                    attempt.tenant, stored.id, final_time=change.now + REMEMBERED
                )
            return reason

        # Its tenant is locked, so that no job is created on it meanwhile.
        keys = Keys(
            tenants=(attempt.tenant,),
            jobs=(attempt.job_id,),
            attempts=(attempt.id,),
            garbage=(stored.id,),
        )
        return await self._changes.make(make, keys=keys)

    async def _reason(
        self, change: Change, object_id: str, known: AttemptRecord
    ) -> CollectReason | None:
        attempt = await change.tx.get_attempt(known.id)
        job = await change.tx.get_job(known.job_id)
        if attempt is None or job is None or attempt.state.is_live:
            return None
        if await change.tx.is_object_needed(attempt.tenant, object_id):
            return None
        if job.output is None or job.output.object_id != object_id:
            return CollectReason.LOST_OUTPUT
        if self._retention is None or job.end_time is None:
            return None
        expired = job.end_time + self._retention <= change.now
        return CollectReason.EXPIRED_OUTPUT if expired else None
