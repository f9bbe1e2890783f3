"""What follows from a committed change: who is woken, which watchers look again, what is stopped.

A signal is a hint. Everyone who is woken reads the store, so that one too many
does no harm and one that was missed is healed by the next.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from distconv.dispatch.store.records import AttemptRecord, SpeedRecord


class Topic(StrEnum):
    """What a duty waits for."""

    WORK = "a task is ready or a slot is free"
    LEASES = "a lease was granted"
    RETRIES = "a retry was scheduled"
    PROMOTIONS = "a task with a deadline is ready"
    HEALTH = "an engine was quarantined"
    IDLENESS = "an engine connected or an attempt ended"
    EXPIRIES = "a job with a ttl was created"
    GARBAGE = "an object is to be deleted"
    OUTBOX = "an event is to be published"
    PURGES = "a job was deleted"
    SAMPLES = "a sample of progress is to be published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """An attempt that its engine is to end; `reason` is for people."""

    attempt: AttemptRecord
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """An engine that is given nothing `until` then; `reason` is for people."""

    engine_id: str
    until: datetime
    reason: str


@dataclass(slots=True)
class Effects:
    """What a change asks for once it is committed."""

    topics: set[Topic] = field(default_factory=set)
    changed_jobs: set[str] = field(default_factory=set)
    ended_jobs: set[str] = field(default_factory=set)
    ended_attempts: list[AttemptRecord] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    changed_engines: set[str] = field(default_factory=set)
    quarantines: list[Quarantine] = field(default_factory=list)
    speeds: list[SpeedRecord] = field(default_factory=list)
    retry_count: int = 0
    success_count: int = 0


class Signals:
    """Carry effects from the changes to those whom they concern, within this process."""

    def __init__(self) -> None:
        self._events = {topic: asyncio.Event() for topic in Topic}
        self._listeners: list[Callable[[Effects], None]] = []
        self._forwarders: list[Callable[[Effects], None]] = []

    def event(self, topic: Topic) -> asyncio.Event:
        """Return the event of a topic; the one duty that waits for it clears it."""
        return self._events[topic]

    def wake(self, topic: Topic) -> None:
        """Wake the duty of a topic."""
        self._events[topic].set()

    def wake_all(self) -> None:
        """Wake the duties of all topics: whatever it was that they missed, they look again."""
        for event in self._events.values():
            event.set()

    def listen(self, listener: Callable[[Effects], None]) -> None:
        """Call `listener` after every committed change; it must not block or raise."""
        self._listeners.append(listener)

    def forward(self, forwarder: Callable[[Effects], None]) -> None:
        """Call `forwarder` after every change that was committed here, not on other replicas."""
        self._forwarders.append(forwarder)

    def publish(self, effects: Effects) -> None:
        """Tell everyone of a change that was committed here."""
        self.hear(effects)
        for forwarder in self._forwarders:
            forwarder(effects)

    def hear(self, effects: Effects) -> None:
        """Tell everyone within this process."""
        for topic in sorted(effects.topics):  # a set has no order of its own
            self._events[topic].set()
        for listener in self._listeners:
            listener(effects)
