"""Replicas, and which engines they hold, in memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from distconv.dispatch.store.memory_tables import Tables
from distconv.dispatch.store.records import EngineRecord, HeartbeatRecord, ReplicaRecord


class MemoryReplicas:
    """The part of a store that knows the replicas."""

    _t: Tables
    _lock: asyncio.Lock

    async def read_clock(self) -> datetime | None:
        """Return None: there is no server."""
        return None

    async def put_replica(self, replica: ReplicaRecord) -> None:
        """Insert or replace a replica."""
        self._t.replicas[replica.id] = replica

    async def remove_replica(self, replica_id: str) -> None:
        """Forget a replica; harmless when it is gone."""
        self._t.replicas.pop(replica_id, None)

    async def list_replicas(self, *, since: datetime) -> Sequence[ReplicaRecord]:
        """Return the replicas that were heard since, by id."""
        heard = [r for r in self._t.replicas.values() if r.heartbeat_time >= since]
        return sorted(heard, key=lambda r: r.id)

    async def list_replica_engines(self, replica_id: str, *, limit: int) -> Sequence[EngineRecord]:
        """Return engines whose session a replica holds."""
        held = (
            engine
            for _, engine in sorted(self._t.engines.items())
            if engine.replica_id == replica_id and not engine.state.is_absent
        )
        return list(islice(held, limit))

    async def note_heartbeats(self, beats: Sequence[HeartbeatRecord]) -> Sequence[EngineRecord]:
        """Store when engines were heard; return those whose session is another by now."""
        others = []
        async with self._lock:
            for beat in beats:
                engine = self._t.engines.get(beat.engine_id)
                if engine is None:
                    continue
                if engine.session_id != beat.session_id:
                    others.append(engine)
                    continue
                self._t.engines[engine.id] = replace(
                    engine, heartbeat_time=beat.time, metrics=beat.metrics or engine.metrics
                )
        return others
