"""Reading engines, and how fast they are, from a SQL database."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from distconv.core.engine import ABSENT, EngineState
from distconv.dispatch.store import tables as t
from distconv.dispatch.store.queries import EngineQuery
from distconv.dispatch.store.records import (
    AttemptRecord,
    BenchmarkRecord,
    EngineRecord,
    SpeedRecord,
)
from distconv.dispatch.store.sql_reader import SqlReader
from distconv.dispatch.store.statements import ATTEMPTS, ENGINES, IN_TIME, LIVE, begins, select_of

PRESENT = t.engines.c.state.not_in(sorted(ABSENT))


class SqlEngineReads(SqlReader):
    """The part of a store that tells of engines."""

    async def get_engine(self, engine_id: str) -> EngineRecord | None:
        """Return an engine."""
        return await self._read_one(ENGINES.where(t.engines.c.id == engine_id), EngineRecord)

    async def find_engines(
        self, tenant: str, prefix: str, *, limit: int = 2
    ) -> Sequence[EngineRecord]:
        """Return the tenant's engines whose ids begin with `prefix`."""
        query = ENGINES.where(t.engines.c.tenant == tenant, *begins(t.engines.c.id, prefix))
        return await self._read_all(query.order_by(t.engines.c.id).limit(limit), EngineRecord)

    async def list_engines(self, query: EngineQuery) -> Sequence[EngineRecord]:
        """Return a page of engines."""
        select = ENGINES.where(t.engines.c.tenant == query.tenant, t.engines.c.id > query.after)
        if query.states is not None:
            select = select.where(t.engines.c.state.in_(sorted(query.states)))
        return await self._read_all(
            select.order_by(t.engines.c.id).limit(query.limit), EngineRecord
        )

    async def count_online_engines(self) -> int:
        """Count engines that are ONLINE."""
        query = sa.select(sa.func.count()).select_from(t.engines)
        return int(await self._scalar(query.where(t.engines.c.state == EngineState.ONLINE)))

    async def list_silent_engines(self, before: datetime, *, limit: int) -> Sequence[EngineRecord]:
        """Return engines that were last heard before."""
        heard = t.engines.c.heartbeat_time
        query = ENGINES.where(PRESENT, heard < before).order_by(heard, t.engines.c.id)
        return await self._read_all(query.limit(limit), EngineRecord)

    async def get_earliest_heartbeat(self) -> datetime | None:
        """Return when the longest silent engine was heard."""
        return await self._earliest(t.engines.c.heartbeat_time, PRESENT)

    async def list_benchmarks(self, engine_id: str, *, limit: int) -> Sequence[BenchmarkRecord]:
        """Return an engine's benchmarks, the latest first."""
        of = t.benchmarks.c
        query = select_of(t.benchmarks, BenchmarkRecord).where(of.engine_id == engine_id)
        latest = query.order_by(of.measure_time.desc(), of.number.desc()).limit(limit)
        return await self._read_all(latest, BenchmarkRecord)

    async def list_speeds(self, *, engine_id: str = "") -> Sequence[SpeedRecord]:
        """Return how fast an engine has been, or every engine."""
        of = t.speeds.c
        query = select_of(t.speeds, SpeedRecord)
        if engine_id:
            query = query.where(of.engine_id == engine_id)
        ordered = query.order_by(of.engine_id, of.codec, of.height_class, of.build_id)
        return await self._read_all(ordered, SpeedRecord)

    async def list_live_attempts(self, *engine_ids: str) -> Sequence[AttemptRecord]:
        """Return the live attempts on engines."""
        query = ATTEMPTS.where(t.attempts.c.engine_id.in_(engine_ids), LIVE)
        return await self._read_all(query.order_by(*IN_TIME), AttemptRecord)
