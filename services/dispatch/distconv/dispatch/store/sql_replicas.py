"""Replicas, and which engines they hold, in a SQL database."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.dispatch.store import tables as t
from distconv.dispatch.store.records import EngineRecord, HeartbeatRecord, ReplicaRecord
from distconv.dispatch.store.sql_engines import PRESENT
from distconv.dispatch.store.sql_reader import SqlReader
from distconv.dispatch.store.statements import (
    ENGINES,
    fetch_all,
    field_names,
    select_of,
)
from distconv.dispatch.store.whole import whole, whole_context

if TYPE_CHECKING:
    import asyncio

    from sqlalchemy.ext.asyncio import AsyncEngine

_REPLICAS = select_of(t.replicas, ReplicaRecord)


class SqlReplicas(SqlReader):
    """The part of a store that knows the replicas; each call is a transaction of its own."""

    _writing: "AsyncEngine"
    _lock: "asyncio.Lock | None"

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        if self._lock is not None:
            await self._lock.acquire()
        try:
            async with whole_context(self._writing.begin()) as connection:
                yield connection
        except self._failures.kinds as error:
            raise self._failures.explain(error) from error
        finally:
            if self._lock is not None:
                self._lock.release()

    async def read_clock(self) -> datetime | None:
        """Return the time by the database server's clock; None when there is no server."""
        if self._engine.dialect.name == "sqlite":
            return None
        found: datetime = await self._scalar(sa.select(sa.func.clock_timestamp()))
        return found

    async def put_replica(self, replica: ReplicaRecord) -> None:
        """Insert or replace a replica."""
        values = {name: getattr(replica, name) for name in field_names(ReplicaRecord)}
        async with self._changing() as connection:
            update = sa.update(t.replicas).where(t.replicas.c.id == replica.id).values(values)
            if not (await whole(connection.execute(update))).rowcount:
                await whole(connection.execute(sa.insert(t.replicas), [values]))

    async def remove_replica(self, replica_id: str) -> None:
        """Forget a replica; harmless when it is gone."""
        async with self._changing() as connection:
            gone = sa.delete(t.replicas).where(t.replicas.c.id == replica_id)
            await whole(connection.execute(gone))

    async def list_replicas(self, *, since: datetime) -> Sequence[ReplicaRecord]:
        """Return the replicas that were heard since, by id."""
        query = _REPLICAS.where(t.replicas.c.heartbeat_time >= since).order_by(t.replicas.c.id)
        return await self._read_all(query, ReplicaRecord)

    async def list_replica_engines(self, replica_id: str, *, limit: int) -> Sequence[EngineRecord]:
        """Return engines whose session a replica holds."""
        query = ENGINES.where(t.engines.c.replica_id == replica_id, PRESENT)
        return await self._read_all(query.order_by(t.engines.c.id).limit(limit), EngineRecord)

    async def note_heartbeats(self, beats: Sequence[HeartbeatRecord]) -> Sequence[EngineRecord]:
        """Store when engines were heard; return those whose session is another by now."""
        by_id = {beat.engine_id: beat for beat in beats}
        if not by_id:
            return []
        # Rows that a change holds are left for the next time: waiting for several could deadlock.
        query = ENGINES.where(t.engines.c.id.in_(sorted(by_id)))
        locking = query.order_by(t.engines.c.id).with_for_update(skip_locked=True)
        async with self._changing() as connection:
            found = await fetch_all(connection, locking, EngineRecord)
            held = [e for e in found if e.session_id == by_id[e.id].session_id]
            if held:
                update = (
                    sa.update(t.engines)
                    .where(t.engines.c.id == sa.bindparam("of_engine"))
                    .values(
                        heartbeat_time=sa.bindparam("heard", type_=t.engines.c.heartbeat_time.type),
                        metrics=sa.bindparam("measured", type_=t.engines.c.metrics.type),
                    )
                )
                rows = [
                    {
                        "of_engine": e.id,
                        "heard": by_id[e.id].time,
                        "measured": by_id[e.id].metrics or e.metrics,
                    }
                    for e in held
                ]
                await whole(connection.execute(update, rows))
        return [e for e in found if e.session_id != by_id[e.id].session_id]
