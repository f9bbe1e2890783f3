"""Fakes for tests and simulation: a clock to turn by hand, objects in memory."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from distconv.core.errors import UnavailableError
from distconv.dispatch.objects.port import Collected, StoredObject


class ManualClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: datetime | None = None) -> None:
        self._now = now or datetime(2030, 1, 1, tzinfo=UTC)
        self._elapsed = timedelta(0)

    def now(self) -> datetime:
        """Return the time."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that were advanced in all."""
        return self._elapsed.total_seconds()

    def advance(self, span: timedelta) -> None:
        """Let time pass."""
        self._now += span
        self._elapsed += span

    def jump(self, span: timedelta) -> None:
        """Put the clock forward or back, without time passing."""
        self._now += span


class FakeObjects:
    """Objects in memory; `away` makes storage unreachable."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str], StoredObject] = {}
        self.deleted: list[str] = []
        self.leftovers: list[Collected] = []
        self.away = False
        self.changed = asyncio.Event()

    def put(
        self,
        object_id: str,
        *,
        size_bytes: int,
        sha256: str = "",
        committed: bool = True,
        tenant: str = "local",
    ) -> None:
        """Store an object."""
        self.stored[tenant, object_id] = StoredObject(
            id=object_id, size_bytes=size_bytes, sha256=sha256, committed=committed
        )

    async def stat(self, tenant: str, object_id: str) -> StoredObject | None:
        """Return an object."""
        self._answer()
        return self.stored.get((tenant, object_id))

    async def delete(self, tenant: str, object_id: str) -> None:
        """Delete an object."""
        self._answer()
        self.stored.pop((tenant, object_id), None)
        self.deleted.append(object_id)
        self.changed.set()

    async def page(self, tenant: str, token: str) -> tuple[Sequence[StoredObject], str]:
        """Return all at once."""
        self._answer()
        assert not token  # noqa: S101  # there is no second page
        return [stored for (of, _), stored in sorted(self.stored.items()) if of == tenant], ""

    async def collect(self, tenant: str, *, dry_run: bool) -> Sequence[Collected]:  # noqa: ARG002
        """Return what was put into `leftovers`, and forget it unless `dry_run`."""
        self._answer()
        found = list(self.leftovers)
        if not dry_run:
            self.leftovers.clear()
        return found

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("no storage service answers")
