"""The event bus and the hints between replicas: the one loses nothing, the other what it likes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

from tests.simulation.clocks import WorldClock
from tests.simulation.ledger import Ledger
from tests.simulation.virtual_loop import VirtualLoop

from distconv.core.errors import UnavailableError
from distconv.events.event import CloudEvent
from distconv.events.inbox import Inbox
from distconv.events.memory import MemoryEventBus
from distconv.events.names import topic_matches


class WorldBus(MemoryEventBus):
    """The bus of all replicas. It remembers everything, and may fail having stored a part."""

    def __init__(self, clock: WorldClock, chance: Random, ledger: Ledger) -> None:
        super().__init__(clock, kept_events=1)
        self._chance = chance
        self._ledger = ledger
        self.failure_rate = 0.0
        # Of every job, the ids of its events as they were first seen.
        self.seen: defaultdict[str, list[str]] = defaultdict(list)
        self._ids: set[str] = set()

    async def publish(self, events: Sequence[CloudEvent]) -> None:
        """Store events in this order."""
        if self.away or self._chance.random() >= self.failure_rate:
            await super().publish(events)
            return
        self._ledger.count("bus failed")
        # Whoever publishes cannot know how many of them were stored.
        await super().publish(events[: self._chance.randrange(len(events) + 1)])
        raise UnavailableError("the bus was lost; whether it has the events is not known")

    def _deliver(self, event: CloudEvent) -> None:
        # One that came before, beyond the window of the bus, is known by its id to who reads.
        if event.id not in self._ids:
            self._ids.add(event.id)
            self.seen[event.subject].append(event.id)
            self._ledger.note("bus has", event.subject, event.type.rpartition(".")[2], event.id)
        super()._deliver(event)


class WorldBroadcast:
    """Hints between replicas: late, in any order, and lost as often as `loss_rate` says."""

    def __init__(self, loop: VirtualLoop, chance: Random) -> None:
        self._loop = loop
        self._chance = chance
        self._listeners: list[tuple[str, Inbox]] = []
        self.loss_rate = 0.0

    def send(self, topic: str, data: bytes) -> None:
        """Tell whoever listens."""
        for pattern, inbox in self._listeners:
            if topic_matches(pattern, topic) and self._chance.random() >= self.loss_rate:
                self._loop.outside(self._chance.uniform(0.0, 0.02), inbox.put, topic, data)

    @contextmanager
    def listen(self, topic: str, *, limit: int = 1024) -> Iterator[Inbox]:
        """Hear a topic while the block lasts."""
        inbox = Inbox(limit)
        listener = (topic, inbox)
        self._listeners.append(listener)
        try:
            yield inbox
        finally:
            self._listeners.remove(listener)
