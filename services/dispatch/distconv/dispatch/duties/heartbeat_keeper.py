"""Store when each engine was last heard, in bulk, and find sessions that moved elsewhere."""

from datetime import datetime, timedelta

from distconv.core.clock import Clock
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import HeartbeatRecord

_PAGE = 100


class HeartbeatKeeper:
    """Write at most once per `interval` for each engine, however often it reports."""

    name = "heartbeat_keeper"

    def __init__(self, store: Store, hub: SessionHub, clock: Clock, *, interval: timedelta) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._interval = interval

    async def run(self) -> datetime | None:
        """Store what was heard since the last time; return when the next is due."""
        beats = [
            HeartbeatRecord(
                engine_id=session.engine.id,
                session_id=session.session_id,
                time=session.heartbeat_time,
                metrics=session.metrics,
            )
            for session in self._hub.sessions()
            if session.heartbeat_time is not None
        ]
        for start in range(0, len(beats), _PAGE):
            page = beats[start : start + _PAGE]
            for engine in await self._store.note_heartbeats(page):
                self._hub.superseded(engine)
        return self._clock.now() + self._interval
