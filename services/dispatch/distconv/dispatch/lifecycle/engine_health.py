"""Keep what is known of engines' health in their records, within the changes that tell of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from distconv.core import health
from distconv.core.engine import EngineState
from distconv.core.failure import Failure
from distconv.core.health import Health, HealthPolicy, Standing
from distconv.core.task_states import TaskKind
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.signals import Effects, Quarantine, Signals, Topic
from distconv.dispatch.store.records import AttemptRecord, EngineRecord, TaskRecord

_log = structlog.get_logger()


def health_of(engine: EngineRecord) -> Health:
    """Return what an engine's record says of its health."""
    return Health(
        strike_count=engine.strike_count,
        quarantine_count=engine.quarantine_count,
        quarantine_time=engine.quarantine_time,
        reason=engine.quarantine_reason,
    )


def with_health(engine: EngineRecord, found: Health, now: datetime) -> EngineRecord:
    """Return a record with another health, in the state that follows from it."""
    state = engine.state
    if found.standing(now) is Standing.QUARANTINED and state is EngineState.ONLINE:
        state = EngineState.QUARANTINED
    elif found.standing(now) is not Standing.QUARANTINED and state is EngineState.QUARANTINED:
        state = EngineState.ONLINE
    return replace(
        engine,
        state=state,
        strike_count=found.strike_count,
        quarantine_count=found.quarantine_count,
        quarantine_time=found.quarantine_time,
        quarantine_reason=found.reason,
    )


class EngineHealth:
    """Count strikes, quarantine, and end probation."""

    def __init__(
        self,
        *,
        policy: HealthPolicy,
        known: Callable[[str], EngineRecord | None],
        signals: Signals,
    ) -> None:
        """`known` returns the record of an engine that is connected here, as last read."""
        self._policy = policy
        self._known = known
        signals.listen(_tell)

    async def succeeded(self, change: Change, task: TaskRecord, attempt: AttemptRecord) -> None:
        """Note that an engine completed a task: a strike for each that failed it before."""
        for engine_id in task.avoided_engine_ids:
            if engine_id != attempt.engine_id:
                why = f"a {task.kind.value.lower()} of job {task.job_id}"
                await self._update(
                    change,
                    engine_id,
                    partial(health.strike, self._policy, why=why, now=change.now),
                )
        # A probe says nothing of an encoder.
        if task.kind is TaskKind.TRANSCODE and not self._is_clean(attempt.engine_id):
            await self._update(
                change,
                attempt.engine_id,
                partial(health.succeed, now=change.now),
            )

    async def failed(self, change: Change, attempt: AttemptRecord, failure: Failure) -> None:
        """Note that an attempt failed for a reason that another attempt might mend."""
        if self._is_clean(attempt.engine_id):
            return
        await self._update(
            change,
            attempt.engine_id,
            partial(health.fail, self._policy, why=failure.message, now=change.now),
        )

    def _is_clean(self, engine_id: str) -> bool:
        """Tell whether an engine is known to have nothing on record: it need not be read then."""
        engine = self._known(engine_id)
        return engine is not None and health_of(engine) == Health()

    async def _update(
        self, change: Change, engine_id: str, step: Callable[[Health], Health]
    ) -> None:
        engine = await change.tx.get_engine(engine_id)
        if engine is None:
            return
        before = health_of(engine)
        after = step(before)
        if after == before:
            return
        moved = with_health(engine, after, change.now)
        await change.put_engine(moved, engine, cause=after.reason or "it completed a task again")
        change.steer(moved)
        if after.quarantine_time is not None and after.quarantine_time != before.quarantine_time:
            change.effects.topics.add(Topic.HEALTH)
            change.effects.quarantines.append(
                Quarantine(engine_id=engine_id, until=after.quarantine_time, reason=after.reason)
            )


def _tell(effects: Effects) -> None:
    for quarantine in effects.quarantines:
        _log.warning(
            "engine_quarantined",
            engine=quarantine.engine_id,
            until=f"{quarantine.until:%Y-%m-%dT%H:%M:%SZ}",
            why=quarantine.reason,
        )
