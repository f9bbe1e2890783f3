"""A whole world from one seed: replicas, engines, clients, and what goes wrong among them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from tests.simulation import logs
from tests.simulation.auditor import Auditor
from tests.simulation.bus import WorldBroadcast, WorldBus
from tests.simulation.chaos import Chaos
from tests.simulation.client import Client
from tests.simulation.clocks import WorldClock
from tests.simulation.database import Database
from tests.simulation.engine import Engine
from tests.simulation.engine_work import Vices
from tests.simulation.fleet import Fleet
from tests.simulation.ledger import Invariant, Ledger, Violation
from tests.simulation.network import Climate, Stream
from tests.simulation.object_world import ObjectWorld
from tests.simulation.planted import BUGS
from tests.simulation.replica import MAX_LOST_LEASES, WEIGHTS, Replica
from tests.simulation.virtual_loop import StuckError, VirtualLoop

from distconv.core.errors import UnavailableError
from distconv.core.ids import new_id
from distconv.dispatch.app import Dispatch
from distconv.dispatch.sessions.messages import Assignment, Hello

_T = TypeVar("_T")

_CHAOS_S = 120.0
# Long enough for every lease, retry, ttl and token there is, several times over.
_PATIENCE_S = 500.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a world is made of; `wildness` is 0 without faults, 1 with many."""

    job_count: int = 100
    wildness: float = 1.0
    # The name of a bug to plant.
    bug: str = ""


class World:
    """Everything there is, in one virtual time."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.seed = seed
        self.shape = shape
        self.loop = VirtualLoop.new()
        self.ledger = Ledger(self.loop.time)
        self.clock = WorldClock(self.loop)
        self.chance = Random(seed)
        self.storage = ObjectWorld(self.clock, self.fork(), self.ledger)
        self.database = Database(self.loop, self.fork(), self.ledger)
        self.bus = WorldBus(self.clock, self.fork(), self.ledger)
        self.broadcast = WorldBroadcast(self.loop, self.fork())
        self.auditor = Auditor(self.ledger, self.storage, max_lost_leases=MAX_LOST_LEASES)
        self.climate = Climate()
        self.assignments: list[tuple[str, Assignment]] = []
        self._network_chance = self.fork()
        self.replicas = [
            Replica(
                f"replica{k}",
                loop=self.loop,
                database=self.database,
                storage=self.storage,
                bus=self.bus,
                broadcast=self.broadcast,
                chance=self.fork(),
                ledger=self.ledger,
            )
            for k in range(self.chance.choice((1, 2, 3)))
        ]
        self.auditor.fair_share.is_held = lambda task: any(r.holds(task) for r in self.replicas)
        self.fleet = Fleet(self, self._network_chance)
        self._calm = False
        self._chaos = Chaos(self, self.fork(), wildness=shape.wildness)

    def fork(self) -> Random:
        """Return randomness of its own for a part, so that parts do not disturb one another."""
        return Random(self.chance.getrandbits(64))

    # --- the course of a world ---------------------------------------------------------------

    async def live(self) -> None:
        """Let everything happen, then wait until all has come to rest, and check it."""
        clients = [Client(tenant, self.fork(), self) for tenant in WEIGHTS]
        self._wish(clients)
        sources = set(self.storage.stored)
        for replica in self.replicas:
            replica.start()
        for k in range(self.chance.choice((3, 4, 5, 6))):
            self.fleet.start(new_id(self.clock.now(), randomness=k))
        wishing = [asyncio.create_task(client.run()) for client in clients]
        await self._chaos.run(span_s=_CHAOS_S)
        self._calm = True
        self.fleet.reform()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await asyncio.gather(*wishing)
                for client in clients:
                    await client.settle()
        except TimeoutError:
            self.ledger.violated(Invariant.SOUND, "clients wait in vain")
        await self._come_to_rest(sources)
        self.auditor.check_end(sources, self.bus)
        for text in (*self.loop.unhandled, *logs.heard):
            self.ledger.violated(Invariant.SOUND, text)

    def _wish(self, clients: list[Client]) -> None:
        """Plan the jobs: in one world of four all alike and at once, so that shares show."""
        chance = self.chance
        saturated = chance.random() < 0.25
        self.auditor.fair_share.watching = saturated
        for number in range(self.shape.job_count):
            if saturated:
                clients[number % len(clients)].wish_alike(number)
            else:
                wild = self.shape.wildness > 0
                chance.choice(clients).wish(number, at_s=chance.uniform(0, 60), wild=wild)

    async def _come_to_rest(self, sources: set[tuple[str, str]]) -> None:
        end = self.loop.time() + _PATIENCE_S
        while self.loop.time() < end and not self.ledger.violations:
            await asyncio.sleep(5.0)
            if not (
                self.auditor.unfinished()
                or self.auditor.surplus(sources)
                or self.auditor.unpublished(self.bus)
            ):
                break
        # Whoever still writes now would leave something.
        await asyncio.sleep(90.0)

    async def bury(self) -> None:
        """End everything, the dead as well, when nothing they do matters any more."""
        self.database.away = True
        self.storage.away = True
        own = asyncio.current_task()
        for process in (
            *(p for r in self.replicas for p in (*r.dead, r.process)),
            *(engine.process for engine in self.fleet.ever),
        ):
            process.go_on(self.loop)
        for _ in range(50):
            left = [t for t in asyncio.all_tasks() if t is not own]
            if not left:
                return
            for task in left:
                task.cancel()
            with suppress(Exception):
                await asyncio.wait(left, timeout=5.0)

    # --- what engines find -------------------------------------------------------------------

    def vices(self) -> Vices:
        """Return what a new engine does wrong: nothing when all is mended."""
        return Vices() if self._calm else self._chaos.vices()

    async def connect(self, engine: Engine, hello: Hello) -> Stream:
        """Reach some replica. Raises UnavailableError."""
        replica = engine.chance.choice(self.replicas)
        await asyncio.sleep(engine.chance.uniform(0.0, 4 * self.climate.delay_s))
        if not replica.is_up or (engine.name, replica.name) in self.climate.cut:
            raise UnavailableError(f"{replica.name} cannot be reached")
        stream = Stream(
            self.loop, self._network_chance, self.climate, engine=engine.name, replica=replica.name
        )
        self.ledger.note(engine.name, "connects to", replica.name)
        self.loop.outside(0.0, replica.accept, stream, "farm", hello)
        return stream

    def tenant_of(self, job_id: str) -> str:
        """Return whose job it is."""
        return self.auditor.jobs[job_id].tenant

    async def call(self, method: Callable[[Dispatch], Awaitable[_T]]) -> _T:
        """Call some replica as a client does. Raises DistconvError."""
        chance = self._network_chance
        replica = chance.choice(self.replicas)
        await asyncio.sleep(chance.uniform(0.0, 4 * self.climate.delay_s))
        result = await replica.call(method, timeout_s=chance.choice((0.05, 5.0, 10.0)))
        await asyncio.sleep(chance.uniform(0.0, 4 * self.climate.delay_s))
        if not self._calm and chance.random() < 0.03 * self.shape.wildness:
            self.ledger.count("answer lost")
            raise UnavailableError("the answer was lost")
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a world."""

    seed: int
    bug: str
    digest: str
    job_count: int
    line_count: int
    virtual_s: float
    faults: dict[str, int]
    violations: list[Violation]
    tail: list[str]


def run_world(seed: int, shape: Shape) -> Outcome:
    """Run the world of a seed to its end."""
    logs.heard.clear()
    world = World(seed, shape)

    with BUGS[shape.bug].plant() if shape.bug else nullcontext():
        try:
            world.loop.run_until_complete(world.live())
        except StuckError as error:
            world.ledger.violated(Invariant.ENDS, str(error))
    outcome = Outcome(
        seed=seed,
        bug=shape.bug,
        digest=world.ledger.digest(),
        job_count=len(world.auditor.jobs),
        line_count=world.ledger.line_count,
        virtual_s=world.loop.time(),
        faults=dict(world.ledger.faults),
        violations=list(world.ledger.violations),
        tail=list(world.ledger.tail),
    )
    _bury(world)
    return outcome


def _bury(world: World) -> None:
    with suppress(StuckError):
        world.loop.run_until_complete(world.bury())
    world.loop.close()
