"""Let engines out of quarantine when their time has come: on probation."""

from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.engine import EngineState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Signals, Topic
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.lifecycle.engine_health import health_of, with_health
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import EngineRecord

_log = structlog.get_logger()

# One that could not be let out is tried again so much later.
_AFTER_FAILURE = timedelta(seconds=1)


class QuarantineWarden:
    """Mind the engines that are connected here."""

    name = "quarantine_warden"

    def __init__(self, changes: Changes, hub: SessionHub, signals: Signals, clock: Clock) -> None:
        self._changes = changes
        self._hub = hub
        self._signals = signals
        self._clock = clock
        self._seen: dict[str, datetime] = {}
        self._each = OneByOne[EngineRecord](
            self.name, clock, do=self._release, key=lambda engine: engine.id
        )

    async def run(self) -> datetime | None:
        """Release whose quarantine is over; return when the next is."""
        now, due, over = self._clock.now(), [], []
        for session in self._hub.sessions():
            until = session.engine.quarantine_time
            if until is None or self._seen.get(session.engine.id) == until:
                continue
            if until > now:
                due.append(until)
            else:
                over.append(session.engine)
        done = await self._each.do_all(over)
        self._seen |= {e.id: e.quarantine_time for e in over if e.id in done and e.quarantine_time}
        if len(done) < len(over):
            due.append(now + _AFTER_FAILURE)
        return min(due, default=None)

    async def _release(self, held: EngineRecord) -> None:
        engine_id = held.id

        async def make(change: Change) -> bool:
            engine = await change.tx.get_engine(engine_id)
            if engine is None or engine.quarantine_time is None:
                return False
            moved = with_health(engine, health_of(engine), change.now)
            if moved.state is EngineState.QUARANTINED:
                return False
            await change.put_engine(moved, engine, cause="its quarantine is over: on probation")
            change.steer(moved)
            return True

        if await self._changes.make(make, keys=Keys(engines=(engine_id,))):
            _log.info("engine_on_probation", engine=engine_id)
        self._signals.wake(Topic.WORK)
