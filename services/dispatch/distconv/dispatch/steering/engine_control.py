"""What operators do to engines: take them out of service and back in, or out for good."""

from dataclasses import replace

import structlog

from distconv.core.attempt_states import AttemptEvent
from distconv.core.engine import EngineState
from distconv.core.errors import FailedPreconditionError
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.lifecycle.leasing import release
from distconv.dispatch.reading.finding import Finder
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import EngineRecord
from distconv.rpc.auth import Principal

_log = structlog.get_logger()


class EngineControl:
    """Carry out the verbs on engines, each in one change; sessions follow by its effects."""

    def __init__(self, changes: Changes, finder: Finder) -> None:
        self._changes = changes
        self._finder = finder

    async def set_maintenance(
        self, who: Principal, name: str, *, maintenance: bool, release_attempts: bool
    ) -> EngineRecord:
        """Take an engine out of service, or back in, which lifts a quarantine too.

        Raises NotFoundError, FailedPreconditionError (it is revoked).
        """
        found = await self._finder.engine(name)

        async def make(change: Change) -> EngineRecord:
            engine = await _engine(change, found)
            if engine.state is EngineState.REVOKED:
                raise FailedPreconditionError(
                    f"engine {engine.id} ({engine.display_name}) was revoked; it is out for good"
                )
            changed = replace(engine, maintenance=maintenance)
            if not maintenance:
                changed = _out_of_quarantine(changed)
            cause = f"{who.user} took it {'out of' if maintenance else 'back into'} service"
            await change.put_engine(changed, engine, cause=cause)
            change.steer(changed)
            if maintenance and release_attempts:
                await _release_all(change, changed, cause=f"{who.user} took the engine out")
            return changed

        changed = await self._changes.make(make, keys=Keys(engines=(found.id,)))
        _log.info(
            "engine_maintenance_set",
            engine=found.id,
            maintenance=maintenance,
            released=release_attempts,
            by=who.user,
        )
        return changed

    async def revoke(self, who: Principal, name: str) -> EngineRecord:
        """Never let an engine connect again. Raises NotFoundError."""
        found = await self._finder.engine(name)

        async def make(change: Change) -> EngineRecord:
            engine = await _engine(change, found)
            if engine.state is EngineState.REVOKED:
                return engine
            revoked = replace(
                _out_of_quarantine(engine),
                state=EngineState.REVOKED,
                maintenance=False,
                session_id="",
                connect_time=None,
                replica_id="",
            )
            await change.put_engine(revoked, engine, cause=f"{who.user} revoked it")
            change.steer(revoked)
            await _release_all(change, revoked, cause=f"{who.user} revoked the engine")
            return revoked

        revoked = await self._changes.make(make, keys=Keys(engines=(found.id,)))
        _log.warning("engine_revoked", engine=found.id, by=who.user)
        return revoked


async def _engine(change: Change, found: EngineRecord) -> EngineRecord:
    return await change.tx.get_engine(found.id) or found


def _out_of_quarantine(engine: EngineRecord) -> EngineRecord:
    state = EngineState.ONLINE if engine.state is EngineState.QUARANTINED else engine.state
    return replace(engine, state=state, strike_count=0, quarantine_time=None, quarantine_reason="")


async def _release_all(change: Change, engine: EngineRecord, *, cause: str) -> None:
    for attempt in await change.tx.list_live_attempts(engine_id=engine.id):
        await release(change, attempt, AttemptEvent.GIVEN_BACK, cause=cause)
        change.stop(attempt, reason=cause)
        # Nothing was given back in truth: it may go on writing until it hears of it.
        await change.discard_output(attempt, may_still_write=True)
