"""The engines of a world: how they come and go, hang, and lose their streams."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Protocol, TypeVar

from tests.simulation import engine as engines
from tests.simulation.clocks import WorldClock
from tests.simulation.engine import Engine
from tests.simulation.engine_work import Vices
from tests.simulation.network import Stream
from tests.simulation.virtual_loop import Process

from distconv.core.errors import NotFoundError, UnavailableError
from distconv.core.ids import new_id
from distconv.dispatch.app import Dispatch
from distconv.rpc.auth import Principal

_T = TypeVar("_T")

_OPERATOR = Principal(tenant="farm", user="operator")


class Surroundings(engines.Surroundings, Protocol):
    """What a fleet finds around it, and what its engines do."""

    clock: WorldClock
    chance: Random

    def fork(self) -> Random:
        """Return randomness of its own for an engine."""
        ...

    def vices(self) -> Vices:
        """Return what a new engine does wrong."""
        ...

    async def call(self, method: Callable[[Dispatch], Awaitable[_T]]) -> _T:
        """Call some replica. Raises DistconvError."""
        ...


class Fleet:
    """The engines that there are, and those that there were."""

    def __init__(self, world: Surroundings, network_chance: Random) -> None:
        self._world = world
        self._network_chance = network_chance
        self._engines: dict[str, Engine] = {}
        self._old: list[Engine] = []

    @property
    def ever(self) -> list[Engine]:
        """Return every engine process that there ever was."""
        return [*self._old, *self._engines.values()]

    def reform(self) -> None:
        """Have every engine do nothing wrong from now on, but end in its own way what it is at.

        Who goes on though it was told to stop does so until its work or its token ends; what it
        leaves is deleted all the same.
        """
        for engine in self._engines.values():
            engine.vices = Vices(goes_on=engine.vices.goes_on)

    def names(self) -> list[str]:
        """Return the engines' ids."""
        return list(self._engines)

    def start(self, name: str) -> None:
        """Start an engine, another process if there is one of that name."""
        world = self._world
        chance = world.fork()
        engine = Engine(
            name,
            process=Process(f"engine {name}"),
            slot_count=chance.choice((1, 2, 4)),
            speed=chance.choice((0.5, 1.0, 3.0)),
            chance=chance,
            vices=world.vices(),
            world=world,
        )
        if (old := self._engines.get(name)) is not None:
            self._old.append(old)
        self._engines[name] = engine
        engine.process.spawn(self._keep(engine))

    async def _keep(self, engine: Engine) -> None:
        await engine.run()
        self._world.loop.outside(engine.chance.uniform(0.5, 5.0), self._restart, engine)

    def _restart(self, engine: Engine) -> None:
        if self._engines.get(engine.name) is engine:
            self.start(engine.name)

    def _replace(self, engine: Engine) -> None:
        """Let an engine never be heard of again, and another come."""
        if self._engines.get(engine.name) is engine:
            del self._engines[engine.name]
            self._old.append(engine)
            name = new_id(self._world.clock.now(), randomness=engine.chance.getrandbits(35))
            self.start(name)

    def crash(self, name: str) -> None:
        """Kill an engine; another process follows some time later."""
        engine = self._engines[name]
        if engine.process.halted:
            return
        self._world.ledger.count("engine crashed", name)
        engine.process.halted = True
        self._lose(engine)
        again = self._replace if engine.chance.random() < 0.3 else self._restart
        self._world.loop.outside(engine.chance.choice((0.5, 5.0, 30.0)), again, engine)

    def stop(self, name: str) -> None:
        """Shut an engine down in order; another process follows some time later."""
        engine = self._engines[name]
        if not engine.process.halted:
            self._world.ledger.count("engine stopped", name)
            engine.process.spawn(_call(engine.stop))

    def hang(self, name: str, span_s: float) -> None:
        """Let an engine stand still for a while."""
        engine = self._engines[name]
        if engine.process.halted:
            return
        self._world.ledger.count("engine hung", name)
        engine.process.halted = True
        self._world.loop.outside(span_s, self._go_on, engine)
        if engine.chance.random() < 0.2:
            # Its supervisor loses patience and starts another beside it.
            self._world.loop.outside(span_s / 2, self._restart, engine)

    def _go_on(self, engine: Engine) -> None:
        self._world.ledger.note(engine.name, "goes on")
        engine.process.go_on(self._world.loop)

    async def maintain(self, name: str, *, maintenance: bool) -> None:
        """Take an engine out of service, or back in."""
        release = self._world.chance.random() < 0.5
        while True:
            try:
                await self._world.call(
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
        stream = self._engines[name].stream if name in self._engines else None
        if stream is not None and not stream.broken:
            self._world.ledger.count("stream broken", *stream.ends)
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


async def _call(function: Callable[[], object]) -> None:
    function()
