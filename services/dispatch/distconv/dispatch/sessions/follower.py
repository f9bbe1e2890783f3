"""Have sessions follow what operators decide of their engines, whichever replica was told."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from distconv.core.clock import Clock
from distconv.core.engine import EngineState
from distconv.core.errors import DistconvError
from distconv.dispatch.changes.signals import Effects, Signals, Topic
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.store.port import Store

_log = structlog.get_logger()

# What was missed is seen so much later at most; a thousand engines are 33 reads a second.
_LOOK_EVERY = timedelta(seconds=30)


class EngineFollower:
    """Read an engine anew when it was changed; end its session when it was revoked.

    As a duty it reads all of them now and then, since the word of another replica
    that one was changed may be lost.
    """

    name = "engine_follower"

    def __init__(
        self,
        store: Store,
        hub: SessionHub,
        signals: Signals,
        clock: Clock,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """`spawn` runs a coroutine in the process's task group."""
        self._store = store
        self._hub = hub
        self._signals = signals
        self._clock = clock
        self._spawn = spawn
        signals.listen(self._on_change)

    async def run(self) -> datetime | None:
        """Read every engine that is connected here; return when to look again."""
        for session in self._hub.sessions():
            await self._refresh(session.engine.id)
        return self._clock.now() + _LOOK_EVERY

    def _on_change(self, effects: Effects) -> None:
        for engine_id in sorted(effects.changed_engines):
            if self._hub.get(engine_id) is not None:
                self._spawn(self._try_to_refresh(engine_id))

    async def _try_to_refresh(self, engine_id: str) -> None:
        try:
            await self._refresh(engine_id)
        except DistconvError as error:
            _log.warning("engine_not_read", engine=engine_id, why=error.message)

    async def _refresh(self, engine_id: str) -> None:
        engine = await self._store.get_engine(engine_id)
        session = self._hub.get(engine_id)
        if engine is None or session is None:
            return
        if engine.state is EngineState.REVOKED or engine.session_id != session.session_id:
            self._hub.superseded(engine)
            return
        session.engine = replace(
            session.engine,
            maintenance=engine.maintenance,
            strike_count=engine.strike_count,
            quarantine_count=engine.quarantine_count,
            quarantine_time=engine.quarantine_time,
            quarantine_reason=engine.quarantine_reason,
        )
        self._signals.wake(Topic.HEALTH)
        if session.takes_work:
            self._signals.wake(Topic.WORK)
