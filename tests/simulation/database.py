"""The database that all replicas share: who may write to it now, and what fails."""

import asyncio
from collections import deque
from random import Random

from tests.simulation.ledger import Ledger
from tests.simulation.virtual_loop import Process, VirtualLoop

from distconv.core.errors import UnavailableError
from distconv.dispatch.store.memory import MemoryStore

# How long the server lets a client that does not answer hold a transaction open.
_IDLE_LIMIT_S = 5.0


class Connection:
    """A transaction of one process."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.broken = False

    def check(self) -> None:
        """Raise UnavailableError when it broke."""
        if self.broken:
            raise UnavailableError("the database ended the connection")


class Database:
    """Transactions, one after another.

    That of a process that dies is undone, as a server does when a connection breaks.
    """

    def __init__(self, loop: VirtualLoop, chance: Random, ledger: Ledger) -> None:
        self.memory = MemoryStore()
        self.loop = loop
        self.chance = chance
        self.ledger = ledger
        self.away = False
        # The chance that a commit, or a read, fails for no reason that anybody could see.
        self.commit_failure_rate = 0.0
        self.read_failure_rate = 0.0
        self.duties: dict[str, Process] = {}
        self._open: Connection | None = None
        self._waiting: deque[tuple[Process, asyncio.Future[Connection]]] = deque()

    async def acquire(self, process: Process) -> Connection:
        """Wait until no other transaction is open. Raises UnavailableError."""
        if self._open is None:
            self._open = Connection(process)
            return self._open
        turn: asyncio.Future[Connection] = self.loop.create_future()
        place = (process, turn)
        self._waiting.append(place)
        try:
            connection = await turn
        except asyncio.CancelledError:
            if place in self._waiting:
                self._waiting.remove(place)
            elif turn.done() and not turn.cancelled():
                self.release(turn.result())
            raise
        connection.check()
        return connection

    def release(self, connection: Connection) -> None:
        """Let the next transaction begin; of one that was broken that was done already."""
        if self._open is connection:
            self._open = None
            self.kick()

    def kick(self) -> None:
        """Let somebody begin who is able to; a process that hangs keeps waiting."""
        if self._open is not None:
            return
        for place in self._waiting:
            process, turn = place
            if not process.halted and not turn.done():
                self._waiting.remove(place)
                self._open = Connection(process)
                turn.set_result(self._open)
                return

    def disconnect(self, process: Process) -> None:
        """Undo what a process that died had not committed, and take from it what it held."""
        self._waiting = deque(place for place in self._waiting if place[0] is not process)
        self.duties = {name: p for name, p in self.duties.items() if p is not process}
        self._break(process)

    def hang(self, process: Process) -> None:
        """Lose patience with a process that hangs in a transaction."""
        self.loop.outside(_IDLE_LIMIT_S, self._lose_patience, process, self._open)

    def _lose_patience(self, process: Process, connection: Connection | None) -> None:
        if connection is not None and connection is self._open and process.halted:
            self._break(process)

    def _break(self, process: Process) -> None:
        connection = self._open
        if connection is not None and connection.process is process:
            connection.broken = True
            self.release(connection)
