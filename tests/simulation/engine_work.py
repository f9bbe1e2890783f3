"""What a simulated engine does with an assignment, honestly and otherwise."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Protocol

from tests.simulation.media import OUTPUT_BYTES, PROBED, transcoded
from tests.simulation.object_world import ObjectWorld

from distconv.core.attempt import AttemptPhase, Cancelled, Outcome, Returned
from distconv.core.errors import DistconvError
from distconv.core.failure import Failure
from distconv.core.names import AttemptRef
from distconv.core.progress import JobProgress
from distconv.dispatch.objects.access import MediaAccess
from distconv.dispatch.sessions.messages import (
    Assignment,
    AttemptReport,
    AttemptResult,
    TranscodeWork,
)


class Lie(StrEnum):
    """How a result may be wrong."""

    NOTHING_STORED = "nothing stored"
    OTHER_SIZE = "another size"
    OTHER_DIGEST = "another digest"
    OTHER_KIND = "a result of another kind"
    OTHER_OBJECT = "another object"


@dataclass(slots=True, kw_only=True)
class Vices:
    """How often, 0..1 of all attempts, an engine does what it should not."""

    refuses: float = 0.0
    fails: float = 0.0
    fails_for_good: float = 0.0
    gives_back: float = 0.0
    lies: float = 0.0
    # Goes on after it was told to stop.
    goes_on: float = 0.0
    # Says everything twice.
    repeats: bool = False
    # Speaks of attempts that are others', or with fencing tokens that are not the present ones.
    meddles: float = 0.0


@dataclass(slots=True, kw_only=True)
class Live:
    """An attempt on an engine."""

    tenant: str
    assignment: Assignment
    phase: AttemptPhase = AttemptPhase.STARTING
    result: AttemptResult | None = None
    told_at: float = float("-inf")
    stop: str = ""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ref(self) -> AttemptRef:
        """Return the attempt's ids."""
        return self.assignment.ref

    @property
    def report(self) -> AttemptReport:
        """Return the attempt as it is now."""
        done = self.phase >= AttemptPhase.FINISHING
        return AttemptReport(
            ref=self.ref,
            fencing_token=self.assignment.fencing_token,
            phase=self.phase,
            progress=JobProgress(fraction=1.0 if done else 0.5, frame_count=50 if done else 25),
        )

    def end(self, outcome: Outcome) -> None:
        """Note how it ended."""
        self.phase = AttemptPhase.ENDED
        self.result = AttemptResult(
            ref=self.ref, fencing_token=self.assignment.fencing_token, outcome=outcome
        )


class Host(Protocol):
    """The engine that works."""

    @property
    def name(self) -> str:
        """Return its id."""
        ...

    @property
    def chance(self) -> Random:
        """Return its randomness."""
        ...

    @property
    def vices(self) -> Vices:
        """Return what it does wrong."""
        ...

    @property
    def speed(self) -> float:
        """Return how fast it is, 1 being usual."""
        ...

    def changed(self) -> None:
        """Have it tell what is new."""
        ...


class _StoppedError(Exception):
    """The attempt was told to stop, and obeys."""


async def work(host: Host, live: Live, storage: ObjectWorld) -> None:
    """Do an attempt to its end, which `live` holds then."""
    try:
        outcome = await _outcome(host, live, storage)
    except _StoppedError:
        outcome = Returned(reason="stopping") if live.stop == "shutdown" else Cancelled()
    except DistconvError as error:
        outcome = Failure.of(error)
    live.end(outcome)
    host.changed()


async def _outcome(host: Host, live: Live, storage: ObjectWorld) -> Outcome:
    chance, vices = host.chance, host.vices
    task = live.assignment.work
    if not isinstance(task, TranscodeWork):
        await _pause(host, live, chance.uniform(0.02, 0.5))
        return _failure(host) or PROBED
    await _pause(host, live, chance.uniform(0.0, 0.3))
    lie = chance.choice(list(Lie)) if chance.random() < vices.lies else None
    _enter(host, live, AttemptPhase.ENCODING)
    await storage.begin(live.tenant, task.sink.object_id, expire_time=task.sink.expire_time)
    await _pause(host, live, chance.uniform(0.5, 8.0) / host.speed)
    if (failure := _failure(host)) is not None:
        return failure
    _enter(host, live, AttemptPhase.FINISHING)
    await _pause(host, live, chance.uniform(0.0, 0.2))
    return await _deliver(live, storage, task.sink, lie)


async def _deliver(live: Live, storage: ObjectWorld, sink: MediaAccess, lie: Lie | None) -> Outcome:
    sha256 = hashlib.sha256(live.ref.attempt.encode()).hexdigest()
    if lie is Lie.OTHER_KIND:
        return PROBED
    if lie is not Lie.NOTHING_STORED:
        await storage.commit(
            live.tenant,
            sink.object_id,
            expire_time=sink.expire_time,
            size_bytes=OUTPUT_BYTES,
            sha256=sha256,
        )
    return transcoded(
        sink.object_id if lie is not Lie.OTHER_OBJECT else live.ref.task,
        sha256 if lie is not Lie.OTHER_DIGEST else "0" * 64,
        size_bytes=OUTPUT_BYTES + (lie is Lie.OTHER_SIZE),
    )


def _failure(host: Host) -> Outcome | None:
    dice = host.chance.random()
    vices = host.vices
    if dice < vices.fails:
        return Failure(reason="ENCODE_FAILED", message="it broke", retryable=True, exit_code=1)
    if dice < vices.fails + vices.fails_for_good:
        return Failure(reason="CORRUPT_SOURCE", message="it is corrupt", retryable=False)
    if dice < vices.fails + vices.fails_for_good + vices.gives_back:
        return Returned(reason="its user wants the machine")
    return None


def _enter(host: Host, live: Live, phase: AttemptPhase) -> None:
    live.phase = phase
    host.changed()


async def _pause(host: Host, live: Live, span_s: float) -> None:
    """Let time pass; stop when told so, unless the engine does not obey."""
    if live.stop and host.chance.random() >= host.vices.goes_on:
        raise _StoppedError
    if live.stop:
        await asyncio.sleep(span_s)
        return
    try:
        async with asyncio.timeout(span_s):
            await live.stopping.wait()
    except TimeoutError:
        return
    await _pause(host, live, span_s / 2)
