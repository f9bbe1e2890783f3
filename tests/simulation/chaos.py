"""What goes wrong in a world, when and how often: drawn from its seed."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol

from tests.simulation.bus import WorldBroadcast, WorldBus
from tests.simulation.database import Database
from tests.simulation.engine_work import Vices
from tests.simulation.fleet import Fleet
from tests.simulation.ledger import Ledger
from tests.simulation.network import CALM_DELAY_S, Climate
from tests.simulation.object_world import ObjectWorld
from tests.simulation.replica import Replica
from tests.simulation.virtual_loop import VirtualLoop


class Surroundings(Protocol):
    """What there is to break."""

    loop: VirtualLoop
    ledger: Ledger
    database: Database
    storage: ObjectWorld
    bus: WorldBus
    broadcast: WorldBroadcast
    climate: Climate
    replicas: list[Replica]
    fleet: Fleet


class Chaos:
    """Do what goes wrong, again and again, until it is told to stop."""

    def __init__(self, world: Surroundings, chance: Random, *, wildness: float) -> None:
        """`wildness` is 0 for a world without faults, 1 for one with many."""
        self._world = world
        self._chance = chance
        self._wildness = wildness
        kinds: list[Callable[[], Awaitable[None]]] = [
            self._kill_replica, self._hang_replica, self._drain_replica, self._jump_clock,
            self._crash_engine, self._hang_engine, self._stop_engine, self._break_stream,
            self._break_stream, self._cut, self._slow_network, self._lose_database,
            self._lose_storage, self._slow_storage, self._lose_bus, self._lose_hints,
            self._maintain,
        ]  # fmt: skip
        # Each world knows a part of all troubles: some show only where others are absent.
        share = chance.uniform(0.2, 1.0)
        self._kinds = [kind for kind in kinds if chance.random() < share] if wildness else []
        if wildness and chance.random() < 0.5:
            world.database.commit_failure_rate = chance.choice((0.001, 0.01, 0.05)) * wildness
        if wildness and chance.random() < 0.5:
            world.database.read_failure_rate = chance.choice((0.001, 0.01, 0.05)) * wildness
        if wildness and chance.random() < 0.5:
            world.bus.failure_rate = chance.choice((0.01, 0.1)) * wildness

    def vices(self) -> Vices:
        """Return what an engine does wrong."""
        chance, wildness = self._chance, self._wildness
        if not wildness or chance.random() < 0.3:
            return Vices()

        def some(*rates: float) -> float:
            return chance.choice((0.0, 0.0, *rates)) * wildness

        return Vices(
            refuses=some(0.05, 0.3),
            fails=some(0.05, 0.3, 0.9),
            fails_for_good=some(0.02),
            gives_back=some(0.05, 0.2),
            lies=some(0.1, 0.5),
            goes_on=some(0.5, 1.0),
            repeats=chance.random() < 0.3 * wildness,
            meddles=some(0.02, 0.2),
        )

    async def run(self, *, span_s: float) -> None:
        """Break things for a while, then mend everything."""
        world, chance = self._world, self._chance
        end = world.loop.time() + span_s
        async with asyncio.TaskGroup() as troubles:
            while self._kinds and world.loop.time() < end:
                await asyncio.sleep(chance.expovariate(0.15 * self._wildness))
                troubles.create_task(_as_coroutine(chance.choice(self._kinds)))
            await asyncio.sleep(max(end - world.loop.time(), 0.0))
        self._mend()

    def _mend(self) -> None:
        world = self._world
        world.database.commit_failure_rate = world.database.read_failure_rate = 0.0
        world.database.away = world.storage.away = False
        world.bus.away = False
        world.bus.failure_rate = world.broadcast.loss_rate = 0.0
        world.storage.slow_s = 0.0
        world.climate.cut.clear()
        world.climate.delay_s = CALM_DELAY_S
        for replica in world.replicas:
            replica.clock.offset_s = max(-0.2, min(0.2, replica.clock.offset_s))
        world.ledger.note("everything is mended")

    # --- replicas ----------------------------------------------------------------------------

    async def _kill_replica(self) -> None:
        replica = self._chance.choice(self._world.replicas)
        if replica.process.halted:
            return
        process = replica.process

        def die() -> None:
            if replica.process is process:
                self._world.ledger.count("replica killed", process.name)
                replica.die()

        # After so many steps of its own: between any two awaits, also where no time passes.
        process.fuse, process.on_fuse = self._chance.randrange(1, 200), die

    async def _hang_replica(self) -> None:
        replica = self._chance.choice(self._world.replicas)
        process = replica.process
        if process.halted:
            return
        self._world.ledger.count("replica hung", process.name)
        process.halted = True
        self._world.database.hang(process)
        await asyncio.sleep(self._chance.choice((0.5, 5.0, 25.0, 60.0)))
        if replica.process is process and process not in replica.dead:
            self._world.ledger.note(process.name, "goes on")
            process.go_on(self._world.loop)
            self._world.database.kick()

    async def _drain_replica(self) -> None:
        replica = self._chance.choice(self._world.replicas)
        if not replica.process.halted:
            self._world.ledger.count("replica drained", replica.process.name)
            replica.stop()

    async def _jump_clock(self) -> None:
        replica = self._chance.choice(self._world.replicas)
        jump_s = self._chance.choice((-60.0, -10.0, -1.0, 1.0, 10.0, 60.0))
        self._world.ledger.count("clock jumped", replica.name, jump_s)
        replica.clock.offset_s += jump_s
        if self._chance.random() < 0.5:
            await asyncio.sleep(self._chance.uniform(1.0, 30.0))
            replica.clock.offset_s -= jump_s

    # --- engines -----------------------------------------------------------------------------

    async def _crash_engine(self) -> None:
        self._world.fleet.crash(self._chance.choice(self._world.fleet.names()))

    async def _hang_engine(self) -> None:
        span_s = self._chance.choice((1.0, 10.0, 25.0, 60.0))
        self._world.fleet.hang(self._chance.choice(self._world.fleet.names()), span_s)

    async def _stop_engine(self) -> None:
        self._world.fleet.stop(self._chance.choice(self._world.fleet.names()))

    async def _maintain(self) -> None:
        name = self._chance.choice(self._world.fleet.names())
        self._world.ledger.count("maintenance", name)
        await self._world.fleet.maintain(name, maintenance=True)
        await asyncio.sleep(self._chance.uniform(1.0, 30.0))
        await self._world.fleet.maintain(name, maintenance=False)

    # --- the network -------------------------------------------------------------------------

    async def _break_stream(self) -> None:
        self._world.fleet.break_stream(self._chance.choice(self._world.fleet.names()))

    async def _cut(self) -> None:
        world, chance = self._world, self._chance
        engine, replica = chance.choice(world.fleet.names()), chance.choice(world.replicas).name
        world.ledger.count("network cut", engine, replica)
        world.climate.cut.add((engine, replica))
        world.fleet.break_stream(engine)
        await asyncio.sleep(chance.uniform(1.0, 60.0))
        world.climate.cut.discard((engine, replica))

    async def _slow_network(self) -> None:
        self._world.ledger.count("network slow")
        self._world.climate.delay_s = self._chance.choice((0.05, 0.5, 3.0))
        await asyncio.sleep(self._chance.uniform(1.0, 20.0))
        self._world.climate.delay_s = CALM_DELAY_S

    # --- what dispatch rests on --------------------------------------------------------------

    async def _lose_database(self) -> None:
        self._world.ledger.count("database away")
        self._world.database.away = True
        await asyncio.sleep(self._chance.choice((0.5, 5.0, 30.0)))
        self._world.database.away = False

    async def _lose_storage(self) -> None:
        self._world.ledger.count("storage away")
        self._world.storage.away = True
        await asyncio.sleep(self._chance.choice((0.5, 5.0, 40.0)))
        self._world.storage.away = False

    async def _lose_bus(self) -> None:
        self._world.ledger.count("bus away")
        self._world.bus.away = True
        await asyncio.sleep(self._chance.choice((0.5, 5.0, 60.0)))
        self._world.bus.away = False

    async def _lose_hints(self) -> None:
        self._world.ledger.count("hints lost")
        self._world.broadcast.loss_rate = self._chance.choice((0.1, 0.5, 1.0))
        await asyncio.sleep(self._chance.uniform(1.0, 30.0))
        self._world.broadcast.loss_rate = 0.0

    async def _slow_storage(self) -> None:
        self._world.ledger.count("storage slow")
        self._world.storage.slow_s = self._chance.choice((0.5, 5.0, 30.0))
        await asyncio.sleep(self._chance.uniform(1.0, 30.0))
        self._world.storage.slow_s = 0.0


async def _as_coroutine(doing: Callable[[], Awaitable[None]]) -> None:
    await doing()
