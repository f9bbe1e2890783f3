"""Bugs to plant, one at least for each invariant: what a world must be able to catch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

from tests.simulation.ledger import Invariant

from distconv.core import fair_queue, retry
from distconv.core.attempt_states import AttemptEvent
from distconv.core.failure import Failure
from distconv.core.fair_queue import Charge
from distconv.dispatch.changes.change import Change
from distconv.dispatch.duties.garbage_collector import GarbageCollector
from distconv.dispatch.duties.lease_rescuer import LeaseRescuer
from distconv.dispatch.duties.outbox_relay import OutboxRelay
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.lifecycle.leasing import Leasing, silence_cause
from distconv.dispatch.lifecycle.verifying import Verifier
from distconv.dispatch.store.memory import MemoryStore
from distconv.dispatch.store.records import AttemptRecord, GarbageRecord
from distconv.dispatch.store.unit import Unit

_FAR = datetime(2999, 1, 1, tzinfo=UTC)

Plant = Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """A bug, the invariant that it breaks, and what plants it while a world runs."""

    invariant: Invariant
    plant: Plant


def _leases_never_end() -> Any:
    async def run(self: LeaseRescuer) -> None:
        return None

    return patch.object(LeaseRescuer, "run", run)


def _lost_attempts_stay_live() -> Any:
    move = Change.move_attempt

    async def forget(
        self: Change, attempt: AttemptRecord, event: AttemptEvent, **fields: Any
    ) -> AttemptRecord:
        if event is AttemptEvent.LEASE_LOST:
            return attempt
        return await move(self, attempt, event, **fields)

    return patch.object(Change, "move_attempt", forget)


def _renewals_ignored() -> Any:
    """Leases end when they would have ended without any heartbeat."""

    async def run(self: LeaseRescuer) -> datetime:
        now = self._clock.now()
        for attempt in await self._store.list_expired_leases(_FAR, limit=100):
            if attempt.create_time + self._leasing.lease_duration <= now:
                cause = silence_cause(attempt.engine_id)
                await self._leasing.release(attempt.id, AttemptEvent.LEASE_LOST, cause=cause)
        return now + timedelta(seconds=5)

    return patch.object(LeaseRescuer, "run", run)


def _outputs_not_verified() -> Any:
    async def verify(self: Verifier, *_: Any) -> None:
        return None

    return patch.object(Verifier, "verify", verify)


def _tokens_not_checked() -> Any:
    """Whoever speaks of an attempt is believed, whatever token it shows."""
    conclude = Concluding.conclude

    async def trust(self: Concluding, attempt_id: str, **given: Any) -> bool:
        async def find(change: Change) -> AttemptRecord | None:
            return await change.tx.get_attempt(attempt_id)

        found = await self._changes.make(find)
        if found is not None:
            given |= {"engine_id": found.engine_id, "fencing_token": found.fencing_token}
        return await conclude(self, attempt_id, **given)

    return patch.object(Concluding, "conclude", trust)


def _failures_not_counted() -> Any:
    def may_retry(failure: Failure, **_: Any) -> bool:
        return failure.retryable

    return patch.object(retry, "may_retry", may_retry)


def _never_retried() -> Any:
    def may_retry(_: Failure, **__: Any) -> bool:
        return False

    return patch.object(retry, "may_retry", may_retry)


def _lost_leases_counted() -> Any:
    """An engine that is lost costs the job a retry."""

    async def take_back(
        self: Leasing, change: Change, attempt: AttemptRecord, _: AttemptEvent, *, cause: str
    ) -> None:
        task = await change.task(attempt.task_id)
        await self._fail_lost(change, attempt, task, cause=cause)

    return patch.object(Leasing, "_take_back", take_back)


def _ranks_ignored() -> Any:
    def charge(**_: float) -> Charge:
        return Charge(rank=0.0, finish_rank=0.0)

    return patch.object(fair_queue, "charge", charge)


def _event_dropped() -> Any:
    add = Unit.add_event

    async def drop(self: Unit, event: Any) -> None:
        if event.type.endswith("JobFinished") and event.id[-1] in "0123":
            return
        await add(self, event)

    return patch.object(Unit, "add_event", drop)


def _outbox_emptied_first() -> Any:
    """The relay takes events out of the outbox before the bus has them."""
    publish = OutboxRelay._publish

    async def hasty(self: OutboxRelay, page: Any) -> None:
        await self._take_out([row.number for row in page])
        await publish(self, page)

    return patch.object(OutboxRelay, "_publish", hasty)


def _garbage_not_collected() -> Any:
    async def run(self: GarbageCollector) -> None:
        return None

    return patch.object(GarbageCollector, "run", run)


def _garbage_collected_once() -> Any:
    """What a silent engine may still write is deleted once, and not after its token's end."""
    put = Unit.put_garbage

    async def once(self: Unit, garbage: GarbageRecord) -> None:
        await put(self, replace(garbage, final_time=garbage.due_time - timedelta(seconds=1)))

    return patch.object(Unit, "put_garbage", once)


def _create_not_idempotent() -> Any:
    async def get(*_: Any) -> None:
        return None

    async def none(*_: Any) -> list[Any]:
        return []

    async def add(self: Unit, request: Any) -> None:
        return None

    return _all(
        patch.object(Unit, "get_request", get),
        patch.object(Unit, "add_request", add),
        patch.object(MemoryStore, "list_requests", none),
    )


@contextmanager
def _all(*patches: Any) -> Iterator[None]:
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


BUGS: dict[str, Bug] = {
    "leases-never-end": Bug(invariant=Invariant.ENDS, plant=_leases_never_end),
    "lost-attempts-stay-live": Bug(invariant=Invariant.ONE_LEASE, plant=_lost_attempts_stay_live),
    "outputs-not-verified": Bug(invariant=Invariant.ONE_OUTPUT, plant=_outputs_not_verified),
    "tokens-not-checked": Bug(invariant=Invariant.ONE_OUTPUT, plant=_tokens_not_checked),
    "failures-not-counted": Bug(invariant=Invariant.BOUNDED, plant=_failures_not_counted),
    "never-retried": Bug(invariant=Invariant.JUST, plant=_never_retried),
    "lost-leases-counted": Bug(invariant=Invariant.JUST, plant=_lost_leases_counted),
    "renewals-ignored": Bug(invariant=Invariant.ONE_LEASE, plant=_renewals_ignored),
    "ranks-ignored": Bug(invariant=Invariant.FAIR, plant=_ranks_ignored),
    "event-dropped": Bug(invariant=Invariant.EVENTS, plant=_event_dropped),
    "outbox-emptied-first": Bug(invariant=Invariant.EVENTS, plant=_outbox_emptied_first),
    "garbage-not-collected": Bug(invariant=Invariant.CLEAN, plant=_garbage_not_collected),
    "garbage-collected-once": Bug(invariant=Invariant.CLEAN, plant=_garbage_collected_once),
    "create-not-idempotent": Bug(invariant=Invariant.ONE_JOB, plant=_create_not_idempotent),
}
