"""The Store port for one process, over a connection that is slow, fails and breaks."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from tests.simulation.clocks import EPOCH
from tests.simulation.database import Connection, Database
from tests.simulation.virtual_loop import Process

from distconv.core.errors import UnavailableError
from distconv.dispatch.store.failures import (
    ConflictError,
    ConnectionLostError,
    UnclearCommitError,
)
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.memory_rows import MemoryRows
from distconv.dispatch.store.rows import Rows
from distconv.dispatch.store.unit import Unit

# What is a transaction of its own: it may be done though nobody hears of it.
_WRITES = frozenset({"note_heartbeats", "put_replica", "remove_replica"})


class FaultyStore:
    """What one process sees of the shared database."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process
        self._memory = database.memory

    async def close(self) -> None:
        """Do nothing."""

    async def read_clock(self) -> datetime:
        """Return the database server's time, which is the world's; it was read on the way."""
        await self._travel()
        told = EPOCH + timedelta(seconds=self._database.loop.time())
        await self._travel()
        return told

    @asynccontextmanager
    async def duty(self, name: str) -> AsyncIterator[bool]:
        """Hold a duty while the block lasts."""
        await self._travel()
        # The table is made anew when a process dies: it is looked up each time.
        if name in self._database.duties:
            yield False
            return
        self._database.duties[name] = self._process
        try:
            yield True
        finally:
            if self._database.duties.get(name) is self._process:
                del self._database.duties[name]

    @asynccontextmanager
    async def transaction(self, keys: Keys | None = None) -> AsyncIterator[Unit]:
        """Begin a change that may fail, before or after it was committed."""
        base, chance = self._database, self._database.chance
        await self._travel()
        connection = await base.acquire(self._process)
        try:
            rows = FaultyRows(base, connection)
            unit = Unit(cast("Rows", rows))
            await unit.prefetch(keys or Keys())
            yield unit
            unit.keep()
            writes = unit.writes()
            await self._travel()
            connection.check()
            fails = chance.random() < base.commit_failure_rate
            if fails and chance.random() < 0.5:
                base.ledger.count("commit failed", self._process.name)
                raise chance.choice((ConflictError, ConnectionLostError, UnavailableError))(
                    "the commit failed"
                )
            await rows.write(writes)
            base.ledger.committed(self._process.name, writes)
        finally:
            base.release(connection)
        if fails:
            base.ledger.count("commit unanswered", self._process.name)
            raise UnclearCommitError("the database was lost; whether it committed is not known")
        await self._travel()

    async def _travel(self) -> None:
        base = self._database
        if base.away:
            await asyncio.sleep(base.chance.uniform(0.0, 2.0))
            if base.away:
                raise UnavailableError("the database cannot be reached")
        dice = base.chance.random()
        if dice > 0.9:
            await asyncio.sleep((dice - 0.9) / 25)
        elif dice > 0.6:
            await asyncio.sleep(0)

    async def _read(self, name: str, args: Any, kwargs: Any) -> Any:
        await self._travel()
        if self._database.chance.random() < self._database.read_failure_rate:
            self._database.ledger.count("read failed", self._process.name)
            raise UnavailableError("the database was lost while it was read")
        found = await getattr(self._memory, name)(*args, **kwargs)
        await _hesitate(self._database)
        return found

    async def _write(self, name: str, args: Any, kwargs: Any) -> Any:
        base = self._database
        await self._travel()
        fails = base.chance.random() < base.commit_failure_rate
        done_first = base.chance.random() < 0.5
        if fails and not done_first:
            base.ledger.count("write failed", self._process.name, name, "undone")
            raise UnavailableError("the database was lost before it wrote")
        answer = await getattr(self._memory, name)(*args, **kwargs)
        if fails:
            base.ledger.count("write failed", self._process.name, name, "done, but unanswered")
            raise UnavailableError("the database was lost; whether it wrote is not known")
        await _hesitate(base)
        return answer

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Read, or write in a transaction of its own."""
        do = self._write if name in _WRITES else self._read

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await do(name, args, kwargs)

        setattr(self, name, call)
        return call


class FaultyRows:
    """A transaction's rows; between any two of its statements others run."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self._rows = MemoryRows(database.memory._t)
        self.broken = False

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Read within the transaction."""
        inner = getattr(self._rows, name)
        base = self._database

        async def statement(*args: Any, **kwargs: Any) -> Any:
            await _hesitate(base)
            self._connection.check()
            if base.chance.random() < base.read_failure_rate:
                self.broken = True
                base.ledger.count("statement failed", self._connection.process.name)
                raise base.chance.choice((ConflictError, ConnectionLostError, UnavailableError))(
                    "a statement failed"
                )
            return await inner(*args, **kwargs)

        setattr(self, name, statement)
        return statement

    async def write(self, writes: Any) -> None:
        """Write everything at once."""
        await self._rows.write(writes)


async def _hesitate(base: Database) -> None:
    if base.chance.random() < 0.1:
        await asyncio.sleep(0)
