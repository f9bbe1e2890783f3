"""Storage in memory: what was written when by whom, what is left, and what cannot be asked."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from random import Random

from tests.simulation.clocks import WorldClock
from tests.simulation.ledger import Ledger

from distconv.core.errors import PermissionDeniedError, UnavailableError
from distconv.dispatch.objects.port import Collected, StoredObject


class ObjectWorld:
    """The storage that all replicas and engines share."""

    def __init__(self, clock: WorldClock, chance: Random, ledger: Ledger) -> None:
        self._clock = clock
        self._chance = chance
        self._ledger = ledger
        self.stored: dict[tuple[str, str], StoredObject] = {}
        self.away = False
        self.slow_s = 0.0

    # --- dispatch's port ---------------------------------------------------------------------

    async def stat(self, tenant: str, object_id: str) -> StoredObject | None:
        """Return an object."""
        await self._answer()
        return self.stored.get((tenant, object_id))

    async def delete(self, tenant: str, object_id: str) -> None:
        """Delete an object; the answer may be lost."""
        await self._answer()
        if self.stored.pop((tenant, object_id), None) is not None:
            self._ledger.note("storage deleted", object_id)
        await self._answer()

    async def page(self, tenant: str, token: str) -> tuple[Sequence[StoredObject], str]:
        """Return all at once."""
        await self._answer()
        return [stored for (of, _), stored in sorted(self.stored.items()) if of == tenant], ""

    async def collect(self, tenant: str, *, dry_run: bool) -> Sequence[Collected]:
        """Return nothing: a simulated storage leaves nothing over."""
        await self._answer()
        return []

    async def _answer(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.01 + self.slow_s))
        if self.away:
            raise UnavailableError("no storage service answers")

    # --- what engines and clients do ---------------------------------------------------------

    def put_source(self, tenant: str, object_id: str, *, size_bytes: int) -> None:
        """Store a source, whole."""
        self.stored[tenant, object_id] = StoredObject(
            id=object_id, size_bytes=size_bytes, sha256="ab" * 32, committed=True
        )

    async def begin(self, tenant: str, object_id: str, *, expire_time: datetime) -> None:
        """Begin to write an object. Raises DistconvError."""
        await self._write(tenant, object_id, expire_time, size_bytes=0, sha256="", committed=False)

    async def commit(
        self, tenant: str, object_id: str, *, expire_time: datetime, size_bytes: int, sha256: str
    ) -> None:
        """Write an object whole. Raises DistconvError."""
        await self._write(
            tenant, object_id, expire_time, size_bytes=size_bytes, sha256=sha256, committed=True
        )

    async def _write(
        self,
        tenant: str,
        object_id: str,
        expire_time: datetime,
        *,
        size_bytes: int,
        sha256: str,
        committed: bool,
    ) -> None:
        await self._answer()
        if self._clock.now() >= expire_time:
            raise PermissionDeniedError("the media token has expired")
        held = self.stored.get((tenant, object_id))
        if held is not None and held.committed:
            raise PermissionDeniedError("what is committed is never written again")
        self.stored[tenant, object_id] = StoredObject(
            id=object_id, size_bytes=size_bytes, sha256=sha256, committed=committed
        )
