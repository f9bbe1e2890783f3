"""Mark engines OFFLINE whose replica died with their session, and that came to no other."""

from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.circuit import Circuit
from distconv.dispatch.duties.one_by_one import OneByOne
from distconv.dispatch.sessions.ending import take_offline
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import EngineRecord

_log = structlog.get_logger()


class EngineReaper:
    """Take for gone what nobody has heard of for `silence`.

    A replica marks its own engines OFFLINE when their sessions end; this is for
    those of a replica that was killed. Leases are the rescuer's concern.
    """

    name = "engine_reaper"

    def __init__(
        self,
        store: Store,
        changes: Changes,
        clock: Clock,
        circuit: Circuit,
        *,
        silence: timedelta,
        replica_id: str,
    ) -> None:
        """`silence` is longer than a lease and the interval of storing heartbeats together."""
        self._store = store
        self._changes = changes
        self._clock = clock
        self._circuit = circuit
        self._silence = silence
        self._replica_id = replica_id
        self._silent = OneByOne[EngineRecord](
            self.name, clock, do=self._give_up, key=lambda engine: engine.id
        )

    async def run(self) -> datetime | None:
        """Mark those that are due; return when to look again."""
        if (later := self._circuit.wait_until(self._silence)) is not None:
            return later
        now = self._clock.now()
        await self._silent.do_all_due(
            lambda limit: self._store.list_silent_engines(now - self._silence, limit=limit)
        )
        earliest = await self._store.get_earliest_heartbeat()
        return self._silent.when((earliest or now) + self._silence)

    async def release_own(self) -> None:
        """Mark the engines that this very replica held before it was started again."""
        own = OneByOne[EngineRecord](
            self.name, self._clock, do=self._release, key=lambda engine: engine.id
        )
        await own.do_all_due(
            lambda limit: self._store.list_replica_engines(self._replica_id, limit=limit)
        )

    async def _give_up(self, engine: EngineRecord) -> None:
        cause = f"nobody heard of it for {self._silence.total_seconds():g} s"
        await self._take_offline(engine.id, engine.session_id, cause)

    async def _release(self, engine: EngineRecord) -> None:
        cause = "the server that held its session was started again"
        await self._take_offline(engine.id, engine.session_id, cause)

    async def _take_offline(self, engine_id: str, session_id: str, cause: str) -> None:
        async def make(change: Change) -> bool:
            return await take_offline(change, engine_id, session_id=session_id, cause=cause)

        if await self._changes.make(make, keys=Keys(engines=(engine_id,))):
            _log.info("engine_reaped", engine=engine_id, session=session_id)
