"""One session with one engine: what it said last, what it holds, and what it is to be told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from distconv.core.attempt import AttemptPhase
from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineCapabilities, EngineMetrics
from distconv.core.errors import DistconvError, UnavailableError
from distconv.core.speeds import EngineSpeeds
from distconv.core.transfer import TransferMode, scratch_needed
from distconv.dispatch.placement.matching import Matching
from distconv.dispatch.placement.offer import Offer
from distconv.dispatch.sessions.messages import ToEngine
from distconv.dispatch.store.records import AttemptRecord, EngineRecord, JobRecord

# Beside assignments, acknowledgements and cancellations, of which there are a few per slot:
# heartbeat acknowledgements, one per interval. An engine that lets more pile up reads no more.
_SPARE_MESSAGES = 64
_MESSAGES_PER_SLOT = 8


@dataclass(slots=True, kw_only=True)
class Held:
    """An attempt on the engine, as this session knows it; `end_time` is when it should end."""

    job_id: str
    tenant: str
    fencing_token: int
    accepted: bool
    expire_time: datetime
    phase: AttemptPhase = AttemptPhase.STARTING
    stopping: bool = False
    begin_time: datetime
    end_time: datetime | None = None
    # What it was given with, as far as it never changes; None when it was re-attached.
    attempt: AttemptRecord | None = None
    job: JobRecord | None = None
    # Of the engine's scratch disk; of one that was re-attached the engine's metrics tell.
    scratch_bytes: int = 0


class EngineSession:
    """Hold what is known of a connected engine, and a bounded queue of messages to it."""

    def __init__(self, engine: EngineRecord, live: list[AttemptRecord]) -> None:
        self.engine = engine
        self.matching = Matching(engine.capabilities, engine_id=engine.id)
        self.speeds = EngineSpeeds(
            cpu_count=engine.capabilities.cpu_count, slot_count=engine.slot_count
        )
        # What was measured of its present build: codec and height; and when it last reported.
        self.measured: set[tuple[str, int]] = set()
        self.measured_time: datetime | None = None
        # Failed attempts since the last that succeeded, and when the latest failed.
        self.failures_in_row = 0
        self.failure_time: datetime | None = None
        self.session_id = engine.session_id
        self.metrics: EngineMetrics | None = engine.metrics
        # What others kept busy of its processors when it last had nothing of ours, 0..1; and
        # whether it had since the heartbeat before, over which its load is measured.
        self.foreign_load = 0.0
        self.worked = bool(live)
        self.heartbeat_time: datetime | None = engine.heartbeat_time
        self.draining = False
        # Set by a refusal, cleared by the next heartbeat: no assignment bounces in a circle.
        self.resting = False
        self.held: dict[str, Held] = {a.id: _held(a) for a in live}
        self.concluding: set[str] = set()
        self._out: asyncio.Queue[ToEngine | None] = asyncio.Queue(
            _SPARE_MESSAGES + _MESSAGES_PER_SLOT * engine.slot_count
        )
        # What it last offered, and what that was made of: a thousand are asked at every pass.
        self.offered: tuple[tuple[object, ...], Offer] | None = None
        self._error: DistconvError | None = None
        self.ended = False

    @property
    def capabilities(self) -> EngineCapabilities:
        """Return what the engine can do."""
        return self.engine.capabilities

    @property
    def takes_work(self) -> bool:
        """Tell whether the engine may be given anything."""
        return not (self.ended or self.draining or self.resting or self.engine.maintenance)

    @property
    def free_slot_count(self) -> int:
        """Return how many attempts more it may run; those being stopped still count."""
        return max(self.engine.slot_count - len(self.held), 0)

    @property
    def scratch_held_bytes(self) -> int:
        """Return what of the engine's scratch disk was given to attempts in this session."""
        return sum(held.scratch_bytes for held in self.held.values())

    @property
    def scratch_free_bytes(self) -> int:
        """Return what of the engine's scratch disk no attempt has, as far as is known here."""
        free = self.capabilities.scratch_bytes - self.scratch_held_bytes
        if self.metrics is not None:
            free = min(free, self.metrics.scratch_free_bytes)
        return max(free, 0)

    def hold(self, attempt: AttemptRecord, job: JobRecord) -> None:
        """Note that an attempt at a task of `job` was given to the engine."""
        held = self.held[attempt.id] = _held(attempt)
        held.attempt, held.job = attempt, job
        self.worked = True
        if attempt.transfer_mode == TransferMode.FILE:
            held.scratch_bytes = scratch_needed(job.source_size_bytes)

    def drop(self, attempt_id: str) -> None:
        """Note that an attempt is not on the engine any more."""
        self.held.pop(attempt_id, None)

    def note_metrics(self, metrics: EngineMetrics | None) -> None:
        """Note what a heartbeat says of the machine."""
        if metrics is not None and metrics != self.metrics:
            self.metrics = metrics  # what offers are compared by: the same one if alike
        if metrics is not None and not self.worked:
            self.foreign_load = metrics.cpu_fraction
        self.worked = bool(self.held)

    def note_end(self, attempt: AttemptRecord) -> None:
        """Note how an attempt on the engine ended: failures in a row make it a last resort."""
        if attempt.state is AttemptState.FAILED and attempt.error and attempt.error.retryable:
            self.failures_in_row += 1
            self.failure_time = attempt.end_time
        elif attempt.state is AttemptState.SUCCEEDED and attempt.object_id:
            self.failures_in_row = 0  # a probe says nothing of an encoder

    def send(self, message: ToEngine) -> bool:
        """Queue a message; False when the session is over, if only because its queue is full."""
        if self.ended:
            return False
        try:
            self._out.put_nowait(message)
        except asyncio.QueueFull:
            self.end(UnavailableError("the engine does not read its messages; connect again"))
            return False
        return True

    def end(self, error: DistconvError | None = None) -> None:
        """End the session once what is queued was sent; with `error` for the engine to see."""
        if self.ended:
            return
        self.ended = True
        self._error = error
        if self._out.full():
            self._out.get_nowait()
        self._out.put_nowait(None)

    async def outbound(self) -> AsyncIterator[ToEngine]:
        """Yield the messages to the engine until the session ends, then raise what ended it."""
        while (message := await self._out.get()) is not None:
            yield message
        if self._error is not None:
            raise self._error


def _held(attempt: AttemptRecord) -> Held:
    return Held(
        expire_time=attempt.lease_expire_time or attempt.create_time,
        job_id=attempt.job_id,
        tenant=attempt.tenant,
        fencing_token=attempt.fencing_token,
        begin_time=attempt.create_time,
        end_time=None if attempt.estimate is None else attempt.create_time + attempt.estimate,
        accepted=attempt.state is AttemptState.RUNNING,
    )
