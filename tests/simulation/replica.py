"""One dispatch process: the real parts, over the world's store, storage, clock and network."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from random import Random
from typing import Any, TypeVar, cast

from tests.simulation.bus import WorldBroadcast, WorldBus
from tests.simulation.clocks import WorldClock
from tests.simulation.database import Database
from tests.simulation.faulty_store import FaultyStore
from tests.simulation.ledger import Invariant, Ledger
from tests.simulation.network import Stream
from tests.simulation.object_world import ObjectWorld
from tests.simulation.virtual_loop import Process, VirtualLoop

from distconv.core.errors import DistconvError, UnavailableError
from distconv.core.ids import new_id
from distconv.core.profiles import ProfileCatalogue, load_catalogue
from distconv.dispatch.app import Dispatch
from distconv.dispatch.replicas.clock import ClockKeeper, FleetClock
from distconv.dispatch.sessions.messages import Hello, ResultAck
from distconv.dispatch.settings import DispatchSettings
from distconv.dispatch.store.port import Store
from distconv.rpc.tokens import KEY_BYTES, MediaTokens

_T = TypeVar("_T")

MAX_RETRIES = 3
MAX_LOST_LEASES = 3
WEIGHTS = {"tenant0": 1.0, "tenant1": 2.0, "tenant2": 4.0}


@cache
def settings() -> DispatchSettings:
    """Return the settings of every replica."""
    return DispatchSettings.model_validate(
        {
            "default_max_retries": 2,
            "max_retries": MAX_RETRIES,
            "retry_max_delay_s": 20,
            "media_ttl_s": 60,
            "stall_timeout_s": 30,
            "sweep_interval_s": 15,
            "deleted_job_retention_s": 60,
            "max_lost_leases": MAX_LOST_LEASES,
            "quarantine_first_s": 20,
            "quarantine_max_s": 60,
            "tenant_weights": tuple(f"{name}={weight}" for name, weight in WEIGHTS.items()),
        }
    )


@cache
def catalogue() -> ProfileCatalogue:
    """Return the profiles that ship."""
    return load_catalogue()


class Replica:
    """A dispatch process that can die and come back as another process."""

    def __init__(
        self,
        name: str,
        *,
        loop: VirtualLoop,
        database: Database,
        storage: ObjectWorld,
        bus: WorldBus,
        broadcast: WorldBroadcast,
        chance: Random,
        ledger: Ledger,
    ) -> None:
        self.name = name
        self.clock = WorldClock(loop, offset_s=chance.uniform(-0.2, 0.2))
        self._loop = loop
        self._database = database
        self._storage = storage
        self._bus = bus
        self._broadcast = broadcast
        self._chance = chance
        self._ledger = ledger
        self._lives = 0
        self.process = Process(name)
        self.dead: list[Process] = []
        self.dispatch: Dispatch | None = None
        self.streams: list[Stream] = []
        self._stop = asyncio.Event()
        self._calls: dict[asyncio.Future[Any], None] = {}

    @property
    def is_up(self) -> bool:
        """Tell whether it can be connected to; one that hangs can."""
        return self.dispatch is not None

    def holds(self, task_id: str) -> bool:
        """Tell whether the scheduler here holds a task back for a better engine."""
        return self.dispatch is not None and self.dispatch.scheduler.hold(task_id) is not None

    def start(self) -> None:
        """Start a new process."""
        self._lives += 1
        self.process = Process(f"{self.name}.{self._lives}")
        self._stop = asyncio.Event()
        self._ledger.note(self.process.name, "starts")
        self.process.spawn(self._run(self._stop))

    async def _run(self, stop: asyncio.Event) -> None:
        store = FaultyStore(self._database, self.process)
        clock = FleetClock(self.clock)
        keeper = ClockKeeper(cast("Store", store), self.clock, clock)
        dispatch = Dispatch(
            settings(),
            store=cast("Store", store),
            objects=self._storage,
            tokens=MediaTokens(b"k" * KEY_BYTES, clock),
            catalogue=catalogue(),
            clock=clock,
            make_id=lambda now: new_id(now, randomness=self._chance.getrandbits(35)),
            randomness=self._chance.random,
            bus=self._bus,
            broadcast=self._broadcast,
            replica_id=self.process.name,
            housekeeping=(keeper,),
        )
        try:
            await keeper.run()
            async with dispatch.running():
                self.dispatch = dispatch
                await stop.wait()
                dispatch.drain()
                self.dispatch = None
                await asyncio.sleep(0.1)
        except DistconvError as error:
            self._ledger.note(self.process.name, "ends:", error.message)
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not be
            self._ledger.violated(Invariant.SOUND, f"{self.process.name} broke: {error!r}")
        self._gone()

    def _gone(self) -> None:
        self.dispatch = None
        self._ledger.note(self.process.name, "is gone")
        self._loop.outside(self._chance.uniform(0.1, 5.0), self._restart_if_gone, self.process)

    def _restart_if_gone(self, process: Process) -> None:
        if self.process is process and self.dispatch is None:
            self._cut_off()
            self.start()

    def stop(self) -> None:
        """Shut down in order."""
        self._stop.set()

    def die(self) -> None:
        """Be killed between two awaits: nothing more of it runs, not even its clean-up."""
        process = self.process
        if process.halted and process in self.dead:
            return
        process.halted = True
        process.fuse = -1
        self.dead.append(process)
        self.dispatch = None
        self._database.disconnect(process)
        self._cut_off()
        self._loop.outside(self._chance.choice((0.1, 1.0, 10.0, 30.0)), self.start)

    def _cut_off(self) -> None:
        for stream in self.streams:
            stream.break_off(
                engine_learns_s=self._chance.choice((0.0, 0.1, 1.0, 15.0)), replica_learns_s=0.0
            )
        self.streams = []
        calls, self._calls = self._calls, {}
        for answer in calls:
            if not answer.done():
                answer.set_exception(UnavailableError("the connection broke"))

    # --- what it serves ----------------------------------------------------------------------

    def accept(self, stream: Stream, tenant: str, hello: Hello) -> None:
        """Take an engine's stream."""
        if self.dispatch is None:
            stream.finish(UnavailableError("nothing listens here"))
            return
        self.streams.append(stream)
        serving = self.process.spawn(self._serve(self.dispatch, stream, tenant, hello))
        stream.on_lost = lambda: _cancel(serving)

    async def _serve(self, dispatch: Dispatch, stream: Stream, tenant: str, hello: Hello) -> None:
        ended: DistconvError | None = None
        try:
            async with dispatch.sessions.hold(tenant, hello, stream.up.messages()) as session:
                async for message in session.outbound():
                    if isinstance(message, ResultAck):
                        self._ledger.on_answer(hello.engine_id, message)
                    stream.down.send(message)
        except DistconvError as error:
            ended = error
        except Exception as error:  # noqa: BLE001
            self._ledger.violated(Invariant.SOUND, f"a session broke: {error!r}")
        stream.finish(ended)
        if stream in self.streams:
            self.streams.remove(stream)

    async def call(self, method: Callable[[Dispatch], Awaitable[_T]], *, timeout_s: float) -> _T:
        """Serve a client's call. Raises DistconvError.

        The caller that waits no longer cancels the call, as gRPC does.
        """
        if self.dispatch is None:
            raise UnavailableError("nothing listens here")
        answer: asyncio.Future[_T] = self._loop.create_future()
        self._calls[answer] = None
        serving = self.process.spawn(self._answer(method(self.dispatch), answer))
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            self._loop.outside(0.0, serving.cancel)
            raise UnavailableError("no answer came in time") from None
        finally:
            self._calls.pop(answer, None)

    async def _answer(self, doing: Awaitable[_T], answer: asyncio.Future[_T]) -> None:
        try:
            result = await doing
        except DistconvError as error:
            if not answer.done():
                answer.set_exception(error)
        except Exception as error:  # noqa: BLE001
            self._ledger.violated(Invariant.SOUND, f"a call broke: {error!r}")
            if not answer.done():
                answer.set_exception(UnavailableError("a fault of the server"))
        else:
            if not answer.done():
                answer.set_result(result)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
