"""Replicas, and which engines they hold, in a SQL database."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from distconv.dispatch.store import tables as t
from distconv.dispatch.store.records import EngineRecord, HeartbeatRecord, ReplicaRecord
from distconv.dispatch.store.sql_engines import PRESENT
from distconv.dispatch.store.sql_reader import Failures, SqlReader
from distconv.dispatch.store.statements import (
    ENGINES,
    fetch_all,
    field_names,
    select_of,
)
from distconv.dispatch.store.whole import whole, whole_context

_REPLICAS = select_of(t.replicas, ReplicaRecord)


class SqlReplicas(SqlReader):
    """The part of a store that knows the replicas; each call is a transaction of its own."""

    def __init__(
        self,
        *,
        reading: AsyncEngine,
        writing: AsyncEngine,
        failures: Failures,
        one_writer: bool,
        answer_timeout_s: float | None,
    ) -> None:
        """`one_writer` queues writers here."""
        super().__init__(reading, failures, answer_timeout_s=answer_timeout_s)
        self._writing = writing
        self._one_writer = one_writer
        # SQLite has one writer at a time: waiting here costs less than its busy handler.
        self._turn: AbstractAsyncContextManager[None] = (
            asyncio.Lock() if one_writer else nullcontext()
        )

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with self._turn, whole_context(self._writing.begin()) as connection:
                yield connection
        except self._failures.kinds as error:
            raise self._failures.explain(error) from error

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
