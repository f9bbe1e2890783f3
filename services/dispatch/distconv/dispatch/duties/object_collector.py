"""Collect what no job needs in storage, of every tenant, now and then."""

from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError
from distconv.core.names import LOCAL_TENANT
from distconv.dispatch.steering.collecting import ObjectCollecting
from distconv.dispatch.store.port import Store

_log = structlog.get_logger()


class ObjectCollector:
    """Collect every `interval`; of several replicas one does."""

    name = "object_collector"

    def __init__(
        self, store: Store, collecting: ObjectCollecting, clock: Clock, *, interval: timedelta
    ) -> None:
        self._store = store
        self._collecting = collecting
        self._clock = clock
        self._interval = interval
        # Not at the start: what a crash left is being put in order then.
        self._due = clock.now() + interval

    async def run(self) -> datetime | None:
        """Collect when it is time; return when to do so again."""
        if self._clock.now() < self._due:
            return self._due
        async with self._store.duty(self.name) as mine:
            if mine:
                for tenant in await self._tenants():
                    await self._collect(tenant)
        self._due = self._clock.now() + self._interval
        return self._due

    async def _tenants(self) -> list[str]:
        accounts = await self._store.list_accounts()
        return sorted({LOCAL_TENANT, *(account.tenant for account in accounts)})

    async def _collect(self, tenant: str) -> None:
        try:
            await self._collecting.collect(tenant, dry_run=False)
        except DistconvError as error:  # storage that is away comes back; the others need not wait
            _log.warning("collecting_failed", tenant=tenant, why=error.message)
