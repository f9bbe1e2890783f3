"""A simulated engine: it speaks the session's messages as a real one does, and has vices."""

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Protocol

from tests.simulation.engine_work import Live, Vices, work
from tests.simulation.ledger import Ledger
from tests.simulation.media import CAPABILITIES, PROBED, transcoded
from tests.simulation.network import Stream
from tests.simulation.object_world import ObjectWorld
from tests.simulation.virtual_loop import Process, VirtualLoop

from distconv.core.attempt import AttemptPhase
from distconv.core.errors import AlreadyExistsError, DistconvError, PermissionDeniedError
from distconv.core.failure import Failure
from distconv.core.names import AttemptRef
from distconv.dispatch.sessions.messages import (
    Assignment,
    AssignmentReply,
    AttemptResult,
    CancelAttempt,
    Drain,
    FromEngine,
    Heartbeat,
    HeartbeatAck,
    Hello,
    LogExcerpt,
    ResultAck,
    ToEngine,
    TranscodeWork,
    Welcome,
)

_WELCOME_TIMEOUT_S = 10.0
_FAREWELL_S = 3.0
# A real engine waits longer from time to time; what matters is that it does not hammer.
_RECONNECT_S = (0.2, 2.0)
_FAILURE = Failure(reason="ENCODE_FAILED", message="it is said to be broken", retryable=True)


class Surroundings(Protocol):
    """What an engine finds around it."""

    loop: VirtualLoop
    ledger: Ledger
    storage: ObjectWorld
    # Every assignment that any engine ever heard of: for those who meddle.
    assignments: list[tuple[str, Assignment]]

    async def connect(self, engine: "Engine", hello: Hello) -> Stream:
        """Reach some replica. Raises UnavailableError."""
        ...

    def tenant_of(self, job_id: str) -> str:
        """Return whose job it is."""
        ...


class _LeaveError(Exception):
    """Another process has the engine's identity, or it was revoked."""


class Engine:
    """One engine process; a restarted one is another `Engine` with the same name."""

    def __init__(
        self,
        name: str,
        *,
        process: Process,
        slot_count: int,
        speed: float,
        chance: Random,
        vices: Vices,
        world: Surroundings,
    ) -> None:
        self.name = name
        self.process = process
        self.slot_count = slot_count
        self.speed = speed
        self.chance = chance
        self.vices = vices
        self.stopping = False
        self.gone = False
        self.stream: Stream | None = None
        self._world = world
        self._live: dict[str, Live] = {}
        self._news = asyncio.Event()
        self._untold = False
        self._replies: list[AssignmentReply] = []
        self._heartbeat_s = 5.0

    def changed(self) -> None:
        """Have the session tell what is new."""
        self._untold = True
        self._news.set()

    def stop(self) -> None:
        """Shut down in order: give back what runs, and leave."""
        self.stopping = True
        for live in self._live.values():
            self._stop(live, "shutdown")
        self.changed()

    async def run(self) -> None:
        """Hold sessions until the engine is stopped."""
        try:
            while not self.gone:
                try:
                    await self._converse()
                except DistconvError as error:
                    self._world.ledger.note(self.name, "lost its session:", error.message)
                if self.stopping:
                    break
                await asyncio.sleep(self.chance.uniform(*_RECONNECT_S))
        except _LeaveError:
            pass
        self.gone = True
        self._world.ledger.note(self.name, "left")

    async def _converse(self) -> None:
        hello = Hello(
            engine_id=self.name,
            display_name=self.name,
            version="1",
            capabilities=CAPABILITIES,
            slot_count=self.slot_count,
            attempts=[live.report for live in self._live.values()],
        )
        stream = await self._world.connect(self, hello)
        self.stream = stream
        for live in self._live.values():
            live.told_at = float("-inf")
        stream.down.on_news = self._news.set
        try:
            await self._greet(stream)
            await self._talk(stream)
        finally:
            self.stream = None

    async def _greet(self, stream: Stream) -> None:
        try:
            async with asyncio.timeout(_WELCOME_TIMEOUT_S):
                while not stream.down.arrived:
                    if stream.down.ended:
                        return
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            stream.break_off(engine_learns_s=0.0, replica_learns_s=self.chance.uniform(0.0, 1.0))

    async def _talk(self, stream: Stream) -> None:
        loop = self._world.loop
        due, farewell = loop.time(), float("inf")
        while True:
            self._news.clear()
            while stream.down.arrived:
                self._hear(stream.down.arrived.popleft())
            if stream.down.ended:
                self._leave_if_told(stream)
                return
            if self._untold or loop.time() >= due:
                self._untold = False
                self._tell(stream, loop.time())
                due = loop.time() + self._heartbeat_s
            if self.stopping:
                farewell = min(farewell, loop.time() + _FAREWELL_S)
                if not self._live or loop.time() >= farewell:
                    stream.break_off(engine_learns_s=0.0, replica_learns_s=0.01)
                    return
            await self._wait(min(due, farewell) - loop.time())

    def _leave_if_told(self, stream: Stream) -> None:
        if isinstance(stream.down.error, AlreadyExistsError | PermissionDeniedError):
            self._world.ledger.note(self.name, "was told:", stream.down.error.message)
            raise _LeaveError

    async def _wait(self, span_s: float) -> None:
        try:
            async with asyncio.timeout(max(span_s, 0.0)):
                await self._news.wait()
        except TimeoutError:
            pass

    # --- what dispatch says ------------------------------------------------------------------

    def _hear(self, message: ToEngine) -> None:
        match message:
            case Welcome():
                self._heartbeat_s = message.heartbeat_interval.total_seconds()
                self._drop_stale(message.stale)
            case HeartbeatAck():
                self._drop_stale(message.stale)
            case Assignment():
                self._take(message)
            case CancelAttempt():
                live = self._live.get(message.ref.attempt)
                if live is not None and live.assignment.fencing_token == message.fencing_token:
                    self._stop(live, "cancelled")
            case ResultAck():
                self._acknowledged(message)
            case Drain():
                pass  # the stream ends soon, and then another replica is as good

    def _take(self, assignment: Assignment) -> None:
        attempt_id = assignment.ref.attempt
        self._world.ledger.note(self.name, "hears of", attempt_id, assignment.fencing_token)
        self._world.assignments.append((self.name, assignment))
        refusal = self._refusal(assignment)
        if not refusal and attempt_id not in self._live:
            live = Live(tenant=self._world.tenant_of(assignment.ref.job), assignment=assignment)
            self._live[attempt_id] = live
            self.process.spawn(work(self, live, self._world.storage))
        self._replies.append(
            AssignmentReply(
                ref=assignment.ref,
                fencing_token=assignment.fencing_token,
                accepted=not refusal,
                refusal=refusal,
            )
        )
        self.changed()

    def _refusal(self, assignment: Assignment) -> str:
        if assignment.ref.attempt in self._live:
            return ""
        if self.stopping:
            return "the engine is shutting down"
        if sum(live.phase is not AttemptPhase.ENDED for live in self._live.values()) >= (
            self.slot_count
        ):
            return f"all {self.slot_count} slots are busy"
        if self.chance.random() < self.vices.refuses:
            self._world.ledger.count("engine refused", self.name)
            return "it does not like it"
        return ""

    def _drop_stale(self, stale: Sequence[AttemptRef]) -> None:
        for ref in stale:
            live = self._live.get(ref.attempt)
            if live is None:
                continue
            if live.phase is AttemptPhase.ENDED:
                del self._live[ref.attempt]
            else:
                self._stop(live, "stale")

    def _acknowledged(self, ack: ResultAck) -> None:
        live = self._live.get(ack.ref.attempt)
        if (
            live is not None
            and live.phase is AttemptPhase.ENDED
            and live.assignment.fencing_token == ack.fencing_token
        ):
            del self._live[ack.ref.attempt]
            self.changed()

    def _stop(self, live: Live, why: str) -> None:
        if not live.stop:
            live.stop = why
            live.stopping.set()

    # --- what dispatch is told ---------------------------------------------------------------

    def _tell(self, stream: Stream, now: float) -> None:
        """Say what is new, and what is."""
        replies, self._replies = self._replies, []
        for reply in replies:
            self._say(stream, reply)
        for live in self._live.values():
            if live.result is not None and now - live.told_at >= self._heartbeat_s:
                live.told_at = now
                self._say(stream, LogExcerpt(ref=live.ref, lines=("the end",)))
                self._say(stream, live.result)
        if self._world.assignments and self.chance.random() < self.vices.meddles:
            self._meddle(stream)
        reports = [live.report for live in self._live.values()]
        self._say(stream, Heartbeat(attempts=reports, draining=self.stopping))

    def _say(self, stream: Stream, message: FromEngine) -> None:
        stream.up.send(message)
        if self.vices.repeats:
            stream.up.send(message)

    def _meddle(self, stream: Stream) -> None:
        """Speak of what is somebody else's, or was one's own once."""
        owner, assignment = self.chance.choice(self._world.assignments)
        mine = owner == self.name
        if mine and assignment.ref.attempt in self._live:
            return
        token = assignment.fencing_token + self.chance.choice((-1, 0, 0, 1))
        task = assignment.work
        outcome = self.chance.choice(
            (
                transcoded(task.sink.object_id, "ab" * 32)
                if isinstance(task, TranscodeWork)
                else PROBED,
                _FAILURE,
            )
        )
        self._world.ledger.count("engine meddled", self.name, assignment.ref.attempt, token)
        self._say(stream, AttemptResult(ref=assignment.ref, fencing_token=token, outcome=outcome))
