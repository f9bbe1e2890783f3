"""A whole world from one seed: replicas, engines, clients, and what goes wrong among them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from tests.simulation import logs
from tests.simulation.auditor import Auditor
from tests.simulation.bus import WorldBroadcast, WorldBus
from tests.simulation.chaos import Chaos
from tests.simulation.client import Client
from tests.simulation.clocks import WorldClock
from tests.simulation.database import Database
from tests.simulation.engine import Engine
from tests.simulation.engine_work import Vices
from tests.simulation.ledger import Invariant, Ledger
from tests.simulation.network import Climate, Stream
from tests.simulation.object_world import ObjectWorld
from tests.simulation.planted import BUGS
from tests.simulation.replica import MAX_LOST_LEASES, WEIGHTS, Replica
from tests.simulation.virtual_loop import Process, StuckError, VirtualLoop

from distconv.core.errors import NotFoundError, UnavailableError
from distconv.core.ids import new_id
from distconv.dispatch.app import Dispatch
from distconv.dispatch.sessions.messages import Assignment, Hello
from distconv.rpc.auth import Principal

_T = TypeVar("_T")

_CHAOS_S = 120.0
_OPERATOR = Principal(tenant="farm", user="operator")
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
        self.storage = ObjectWorld(self.clock, self._fork(), self.ledger)
        self.database = Database(self.loop, self._fork(), self.ledger)
        self.bus = WorldBus(self.clock, self._fork(), self.ledger)
        self.broadcast = WorldBroadcast(self.loop, self._fork())
        self.auditor = Auditor(self.ledger, self.storage, max_lost_leases=MAX_LOST_LEASES)
        self.climate = Climate()
        self.assignments: list[tuple[str, Assignment]] = []
        self._network_chance = self._fork()
        self.replicas = [
            Replica(
                f"replica{k}",
                loop=self.loop,
                database=self.database,
                storage=self.storage,
                bus=self.bus,
                broadcast=self.broadcast,
                chance=self._fork(),
                ledger=self.ledger,
            )
            for k in range(self.chance.choice((1, 2, 3)))
        ]
        self.engines: dict[str, Engine] = {}
        self._old_engines: list[Engine] = []
        self._calm = False

    def _fork(self) -> Random:
        """Return randomness of its own for a part, so that parts do not disturb one another."""
        return Random(self.chance.getrandbits(64))

    # --- the course of a world ---------------------------------------------------------------

    async def live(self) -> None:
        """Let everything happen, then wait until all has come to rest, and check it."""
        chaos = Chaos(self, self._fork(), wildness=self.shape.wildness)
        self._chaos = chaos
        clients = [Client(tenant, self._fork(), self) for tenant in WEIGHTS]
        self._wish(clients)
        sources = set(self.storage.stored)
        for replica in self.replicas:
            replica.start()
        for k in range(self.chance.choice((3, 4, 5, 6))):
            self._start_engine(new_id(self.clock.now(), randomness=k), chaos.vices())
        wishing = [asyncio.create_task(client.run()) for client in clients]
        await chaos.run(span_s=_CHAOS_S)
        self._calm = True
        for name in list(self.engines):
            self._replace_if_bad(name)
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
            *(e.process for e in (*self._old_engines, *self.engines.values())),
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

    # --- engines come and go -----------------------------------------------------------------

    def engine_names(self) -> list[str]:
        """Return the engines' ids."""
        return list(self.engines)

    def _start_engine(self, name: str, vices: Vices) -> None:
        chance = self._fork()
        engine = Engine(
            name,
            process=Process(f"engine {name}"),
            slot_count=chance.choice((1, 2, 4)),
            speed=chance.choice((0.5, 1.0, 3.0)),
            chance=chance,
            vices=vices,
            world=self,
        )
        if (old := self.engines.get(name)) is not None:
            self._old_engines.append(old)
        self.engines[name] = engine
        engine.process.spawn(self._keep(engine))

    async def _keep(self, engine: Engine) -> None:
        await engine.run()
        self.loop.outside(engine.chance.uniform(0.5, 5.0), self._restart, engine)

    def _restart(self, engine: Engine) -> None:
        if self.engines.get(engine.name) is engine:
            self._start_engine(engine.name, Vices() if self._calm else self._chaos.vices())

    def _replace(self, engine: Engine) -> None:
        """Let an engine never be heard of again, and another come."""
        if self.engines.get(engine.name) is engine:
            del self.engines[engine.name]
            self._old_engines.append(engine)
            name = new_id(self.clock.now(), randomness=engine.chance.getrandbits(35))
            self._start_engine(name, Vices() if self._calm else self._chaos.vices())

    def crash_engine(self, name: str) -> None:
        """Kill an engine; another process follows some time later."""
        engine = self.engines[name]
        if engine.process.halted:
            return
        self.ledger.count("engine crashed", name)
        engine.process.halted = True
        self._lose(engine)
        again = self._replace if engine.chance.random() < 0.3 else self._restart
        self.loop.outside(engine.chance.choice((0.5, 5.0, 30.0)), again, engine)

    def stop_engine(self, name: str) -> None:
        """Shut an engine down in order; another process follows some time later."""
        engine = self.engines[name]
        if not engine.process.halted:
            self.ledger.count("engine stopped", name)
            engine.process.spawn(_call(engine.stop))

    def hang_engine(self, name: str, span_s: float) -> None:
        """Let an engine stand still for a while."""
        engine = self.engines[name]
        if engine.process.halted:
            return
        self.ledger.count("engine hung", name)
        engine.process.halted = True
        self.loop.outside(span_s, self._go_on, engine)
        if engine.chance.random() < 0.2:
            # Its supervisor loses patience and starts another beside it.
            self.loop.outside(span_s / 2, self._restart, engine)

    def _go_on(self, engine: Engine) -> None:
        self.ledger.note(engine.name, "goes on")
        engine.process.go_on(self.loop)

    async def maintain(self, name: str, *, maintenance: bool) -> None:
        """Take an engine out of service, or back in."""
        release = self.chance.random() < 0.5
        while True:
            try:
                await self.call(
                    lambda d: d.api.engine_control.set_maintenance(
                        _OPERATOR,
                        f"engines/{name}",
                        maintenance=maintenance,
                        release_attempts=release,
                    )
                )
            except NotFoundError:
                return  # it never connected
            except UnavailableError:
                await asyncio.sleep(1.0)
            else:
                return

    def break_stream(self, name: str) -> None:
        """Break an engine's stream."""
        stream = self.engines[name].stream if name in self.engines else None
        if stream is not None and not stream.broken:
            self.ledger.count("stream broken", *stream.ends)
            self._break(stream)

    def _lose(self, engine: Engine) -> None:
        if engine.stream is not None:
            self._break(engine.stream)

    def _break(self, stream: Stream) -> None:
        chance = self._network_chance
        stream.break_off(
            engine_learns_s=chance.choice((0.0, 0.1, 1.0, 15.0)),
            replica_learns_s=chance.choice((0.0, 0.1, 1.0, 15.0, 40.0)),
        )

    def _replace_if_bad(self, name: str) -> None:
        engine = self.engines[name]
        engine.vices = Vices(goes_on=engine.vices.goes_on)


async def _call(function: Callable[[], object]) -> None:
    function()


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
    violations: list[str]
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
        violations=[str(v) for v in world.ledger.violations],
        tail=list(world.ledger.tail),
    )
    _bury(world)
    return outcome


def _bury(world: Any) -> None:
    with suppress(StuckError):
        world.loop.run_until_complete(world.bury())
    world.loop.close()
