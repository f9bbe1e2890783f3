"""The event bus within one process.

Nothing outlives the process: whoever wants every event of an embedded dispatch
reads the jobs' histories, or runs the fleet's bus.
"""

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from distconv.core.clock import Clock
from distconv.core.errors import UnavailableError
from distconv.events.dedupe import DedupeWindow
from distconv.events.event import CloudEvent
from distconv.events.filter import EVERYTHING, EventFilter
from distconv.events.follower import Follower
from distconv.events.memory_dead_letters import MemoryDeadLetters
from distconv.events.memory_subscription import MemorySubscription
from distconv.events.names import check_subscription_name
from distconv.events.port import DeliveryPolicy, StartAt

_DEFAULT_WINDOW = timedelta(minutes=10)
_DEFAULT_KEPT_EVENTS = 1000


class MemoryEventBus:
    """An event bus for one process; `away` makes it unreachable, for tests and simulation."""

    def __init__(
        self,
        clock: Clock,
        *,
        dedupe_window: timedelta = _DEFAULT_WINDOW,
        kept_events: int = _DEFAULT_KEPT_EVENTS,
    ) -> None:
        """`kept_events` is how many are kept for subscriptions that come later."""
        self._log: deque[CloudEvent] = deque(maxlen=kept_events)
        self._seen = DedupeWindow(clock, span=dedupe_window)
        self._subscriptions: dict[str, MemorySubscription] = {}
        self._followers: set[Follower] = set()
        self._dead_letters = MemoryDeadLetters(
            clock, answer=self._answer, deliver=self._deliver_anew
        )
        self.away = False

    @property
    def dead_letters(self) -> MemoryDeadLetters:
        """Return the dead letters."""
        return self._dead_letters

    async def publish(self, events: Sequence[CloudEvent]) -> None:
        """Store events in this order."""
        self._answer()
        for event in events:
            if self._seen.is_new((event.source, event.id)):
                self._deliver(event)

    @asynccontextmanager
    async def subscribe(
        self, name: str, want: EventFilter = EVERYTHING, *, policy: DeliveryPolicy | None = None
    ) -> AsyncIterator[MemorySubscription]:
        """Take part in the durable subscription `name` while the block lasts."""
        check_subscription_name(name)
        chosen = policy or DeliveryPolicy()
        subscription = self._subscriptions.get(name)
        if subscription is None:
            bury = partial(self._bury, name)
            subscription = MemorySubscription(want, chosen, bury)
            self._subscriptions[name] = subscription
            if chosen.start_at is StartAt.OLDEST:
                for event in self._log:
                    subscription.offer(event)
        subscription.want, subscription.policy = want, chosen
        yield subscription

    @asynccontextmanager
    async def follow(
        self, want: EventFilter = EVERYTHING
    ) -> AsyncIterator[AsyncIterator[CloudEvent]]:
        """Yield the events published from now on."""
        follower = Follower(want)
        self._followers.add(follower)
        try:
            yield follower.events()
        finally:
            self._followers.discard(follower)

    async def check(self) -> None:
        """Return when the bus answers."""
        self._answer()

    async def close(self) -> None:
        """Stop every timer."""
        for subscription in self._subscriptions.values():
            subscription.close()

    def _deliver(self, event: CloudEvent) -> None:
        self._log.append(event)
        for subscription in self._subscriptions.values():
            subscription.offer(event)
        for follower in self._followers:
            follower.offer(event)

    def _deliver_anew(self, event: CloudEvent, name: str) -> None:
        if not name:
            self._deliver(event)
        elif name in self._subscriptions:
            self._subscriptions[name].offer(event)

    def _bury(self, name: str, event: CloudEvent, reason: str, count: int) -> None:
        self._dead_letters.add(event, name, reason, count)

    def _answer(self) -> None:
        if self.away:
            raise UnavailableError("the event bus is away")
