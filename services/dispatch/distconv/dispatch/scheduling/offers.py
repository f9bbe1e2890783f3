"""What connected engines offer: the sessions of this replica as placement sees them."""

from collections.abc import Iterable
from datetime import datetime

from distconv.core import health
from distconv.core.health import HealthPolicy, Standing
from distconv.dispatch.lifecycle.engine_health import health_of
from distconv.dispatch.placement.offer import Offer
from distconv.dispatch.sessions.session import EngineSession, Held
from distconv.dispatch.store.records import EngineRecord
from distconv.dispatch.wording import count

# An attempt that is late is expected to take so much longer of what it has taken already.
_OVERDUE_SHARE = 0.1


def free_offers(
    sessions: Iterable[EngineSession], *, policy: HealthPolicy, now: datetime
) -> list[Offer]:
    """Return what engines offer that take work and have a free slot."""
    return [
        offer_of(session, policy=policy, now=now)
        for session in sessions
        if session.takes_work and open_slots(session, now)
    ]


def busy_offers(
    sessions: Iterable[EngineSession], *, policy: HealthPolicy, now: datetime
) -> list[Offer]:
    """Return what engines offer that take work, but have no free slot now."""
    return [
        offer_of(session, policy=policy, now=now)
        for session in sessions
        if session.takes_work
        and not open_slots(session, now)
        and health_of(session.engine).standing(now) is Standing.TRUSTED
    ]


def open_slots(session: EngineSession, now: datetime) -> int:
    """Return how many attempts more an engine may be given: on probation it has one slot."""
    if session.engine.quarantine_time is None:
        return session.free_slot_count
    if is_quarantined(session.engine, now):
        return 0
    return 0 if session.held else 1


def is_quarantined(engine: EngineRecord, now: datetime) -> bool:
    """Tell whether an engine is given nothing; asked of every session, so it makes no Health."""
    return engine.quarantine_time is not None and now < engine.quarantine_time


def offer_of(session: EngineSession, *, policy: HealthPolicy, now: datetime) -> Offer:
    """Return what one engine offers: the last value again while it would be the same."""
    free = open_slots(session, now)
    free_times = tuple(
        _end(held, now) for held in session.held.values() if held.end_time is not None
    )
    basis = (
        policy,
        free,
        free_times,
        session.engine,
        session.metrics,
        session.foreign_load,
        session.scratch_held_bytes,
        session.speeds,
        session.failures_in_row,
        session.failure_time,
    )
    if session.offered is None or session.offered[0] != basis:
        session.offered = basis, _made(session, policy, free, free_times)
    return session.offered[1]


def _made(
    session: EngineSession,
    policy: HealthPolicy,
    free_slot_count: int,
    free_times: tuple[datetime, ...],
) -> Offer:
    engine, metrics = session.engine, session.metrics
    failures = session.failures_in_row
    resort_time = None
    if session.failure_time is not None and failures:
        resort_time = session.failure_time + health.cooldown(policy, failures_in_row=failures)
    return Offer(
        engine_id=engine.id,
        display_name=engine.display_name,
        matching=session.matching,
        slot_count=engine.slot_count,
        free_slot_count=free_slot_count,
        free_times=free_times,
        speeds=session.speeds,
        memory_bytes=engine.capabilities.memory_bytes,
        memory_used_bytes=metrics.memory_used_bytes if metrics else 0,
        foreign_load=session.foreign_load,
        scratch_free_bytes=session.scratch_free_bytes,
        resort_time=resort_time,
        resort_reason=f"the last {count(failures, 'attempt')} there failed" if resort_time else "",
    )


def _end(held: Held, now: datetime) -> datetime:
    if held.end_time is not None and held.end_time > now:
        return held.end_time
    return now + (now - held.begin_time) * _OVERDUE_SHARE
