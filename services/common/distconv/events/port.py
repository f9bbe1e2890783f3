"""The two ports of this package.

EventBus is durable: an event is stored before it is acknowledged to the
publisher, and delivered until a subscriber acknowledges it. Delivery is at
least once; a duplicate has the same source and id.

Broadcast is the opposite: a hint to whoever listens now. It never waits, never
fails, and may be lost; whoever relies on it must look by itself as well.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from distconv.core.errors import DistconvError
from distconv.events.event import CloudEvent
from distconv.events.filter import EVERYTHING, EventFilter
from distconv.events.inbox import Inbox


class EventRefusedError(DistconvError):
    """The bus refuses one event for what it is, and takes others; to try again is no use.

    `position` is its place among those that were published together. Of the others
    any may have been stored.
    """

    reason = "EVENT_REFUSED"

    def __init__(self, message: str, *, position: int) -> None:
        super().__init__(message)
        self.position = position


class EventDeniedError(EventRefusedError):
    """This process may not publish the event: its kind, or its subject."""

    reason = "EVENT_DENIED"


class StartAt(StrEnum):
    """Where a subscription begins that did not exist before."""

    OLDEST = "the oldest event that the bus still holds"
    NEWEST = "events published from now on"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPolicy:
    """How a subscription delivers.

    An event that is not acknowledged within `ack_wait` is delivered again; after
    `max_deliveries` in all it becomes a dead letter. At most `max_in_flight`
    events (1..10,000) are out and not acknowledged.
    """

    ack_wait: timedelta = timedelta(seconds=30)
    max_deliveries: int = 5
    max_in_flight: int = 64
    start_at: StartAt = StartAt.OLDEST


class Delivery(Protocol):
    """One event in a subscriber's hands. Exactly one of ack, nack and reject ends it.

    All raise UnavailableError when the bus is away; the event comes again then.
    """

    @property
    def event(self) -> CloudEvent:
        """Return the event."""
        ...

    @property
    def delivery_count(self) -> int:
        """Return how often the event was delivered to this subscription, this time included."""
        ...

    async def ack(self) -> None:
        """Say that the event is dealt with."""
        ...

    async def nack(self, delay: timedelta = timedelta(0), *, reason: str = "") -> None:
        """Have the event delivered again after `delay`; after the last delivery, bury it."""
        ...

    async def in_progress(self) -> None:
        """Ask for another `ack_wait`."""
        ...

    async def reject(self, reason: str) -> None:
        """Make the event a dead letter at once: no delivery will mend it."""
        ...


class Subscription(Protocol):
    """Where a subscriber takes its events from, in the order of publishing but for redeliveries."""

    async def next(self) -> Delivery:
        """Wait for the next event; while the bus is away, wait for that too."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event that a subscription gave up on. `id` names it on this bus."""

    id: str
    event: CloudEvent
    subscription: str
    reason: str
    delivery_count: int
    time: datetime


class DeadLetters(Protocol):
    """The events that were given up on. All methods raise UnavailableError.

    `bury` raises EventRefusedError when it cannot hold the event.
    """

    async def bury(
        self, event: CloudEvent, *, subscription: str, reason: str, delivery_count: int
    ) -> None:
        """Add a dead letter; idempotent for one event of one subscription for a while."""
        ...

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[DeadLetter]:
        """Return dead letters, oldest first, from behind the one with the id `after`."""
        ...

    async def get(self, letter_id: str) -> DeadLetter:
        """Return one; raises NotFoundError."""
        ...

    async def replay(self, letter_id: str) -> None:
        """Deliver one anew to its subscription alone, and remove it; raises NotFoundError."""
        ...

    async def discard(self, letter_id: str) -> None:
        """Remove one for good; raises NotFoundError."""
        ...


class EventBus(Protocol):
    """Carry events durably."""

    @property
    def dead_letters(self) -> DeadLetters:
        """Return the dead letters."""
        ...

    async def publish(self, events: Sequence[CloudEvent]) -> None:
        """Store events in this order; return once every one is stored.

        An event with the id of one that was stored within the dedupe window is
        stored once only, so a call that failed may be made again. Raises
        UnavailableError, fast when the bus is away; any of the events may have
        been stored then. Raises EventRefusedError.
        """
        ...

    def subscribe(
        self, name: str, want: EventFilter = EVERYTHING, *, policy: DeliveryPolicy | None = None
    ) -> AbstractAsyncContextManager[Subscription]:
        """Take part in the durable subscription `name` while the block lasts.

        It outlives every taker; several at once share its events. `name` is 1..64
        letters, digits, - and _. Raises InvalidArgumentError, and UnavailableError
        when the bus is away as the block begins.
        """
        ...

    def follow(
        self, want: EventFilter = EVERYTHING
    ) -> AbstractAsyncContextManager[AsyncIterator[CloudEvent]]:
        """Yield the events published from now on, once each, without acknowledgements.

        A follower that is too slow, or a bus that is away, may make it miss some.
        """
        ...

    async def check(self) -> None:
        """Return when the bus answers; raises UnavailableError that says why it does not."""
        ...


class Broadcast(Protocol):
    """Carry hints between processes."""

    def send(self, topic: str, data: bytes) -> None:
        """Tell whoever listens; the sender too may hear it. Never blocks, never raises."""
        ...

    def listen(self, topic: str, *, limit: int = 1024) -> AbstractContextManager[Inbox]:
        """Hear a topic while the block lasts; at most `limit` messages wait, the oldest go first.

        A topic is dotted words; `*` stands for any one word.
        """
        ...
