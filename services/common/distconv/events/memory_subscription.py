"""A durable subscription of the memory bus."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from distconv.events.event import CloudEvent
from distconv.events.filter import EventFilter
from distconv.events.port import DeliveryPolicy

# Called with the event, the reason and the count of deliveries.
Bury = Callable[[CloudEvent, str, int], None]


@dataclass(slots=True, eq=False)
class _Entry:
    event: CloudEvent
    count: int = 0
    timer: asyncio.TimerHandle | None = field(default=None)


class MemorySubscription:
    """Hand events out, and again until they are acknowledged."""

    def __init__(self, want: EventFilter, policy: DeliveryPolicy, bury: Bury) -> None:
        self.want = want
        self.policy = policy
        self._bury = bury
        self._ready: deque[_Entry] = deque()
        self._out: set[_Entry] = set()
        self._some = asyncio.Event()

    def offer(self, event: CloudEvent) -> None:
        """Add an event if it is wanted."""
        if self.want.matches(event):
            self._ready.append(_Entry(event))
            self._some.set()

    async def next(self) -> "MemoryDelivery":
        """Wait for the next event."""
        while True:
            while self._ready and len(self._out) < self.policy.max_in_flight:
                entry = self._ready.popleft()
                if entry.count < self.policy.max_deliveries:
                    return self._hand_out(entry)
                self._bury(
                    entry.event, f"not acknowledged in {entry.count} deliveries", entry.count
                )
            self._some.clear()
            await self._some.wait()

    def end(self, entry: _Entry) -> bool:
        """Take an event back from its taker; False when that was done already."""
        if entry not in self._out:
            return False
        self._out.discard(entry)
        self._stop_timer(entry)
        self._some.set()
        return True

    def again(self, entry: _Entry, delay: timedelta, reason: str) -> None:
        """Deliver an event again after a delay, or bury it after its last delivery."""
        if not self.end(entry):
            return
        if entry.count >= self.policy.max_deliveries:
            self._bury(entry.event, reason or f"refused {entry.count} times", entry.count)
        elif delay > timedelta(0):
            loop = asyncio.get_running_loop()
            loop.call_later(delay.total_seconds(), self._requeue, entry)
        else:
            self._requeue(entry)

    def reject(self, entry: _Entry, reason: str) -> None:
        """Bury an event at once."""
        if self.end(entry):
            self._bury(entry.event, reason, entry.count)

    def extend(self, entry: _Entry) -> None:
        """Start the time for an acknowledgement anew."""
        if entry in self._out:
            self._stop_timer(entry)
            self._start_timer(entry)

    def close(self) -> None:
        """Stop every timer."""
        for entry in self._out:
            self._stop_timer(entry)

    def _hand_out(self, entry: _Entry) -> "MemoryDelivery":
        entry.count += 1
        self._out.add(entry)
        self._start_timer(entry)
        return MemoryDelivery(self, entry)

    def _start_timer(self, entry: _Entry) -> None:
        loop = asyncio.get_running_loop()
        entry.timer = loop.call_later(self.policy.ack_wait.total_seconds(), self._on_silence, entry)

    def _stop_timer(self, entry: _Entry) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None

    def _on_silence(self, entry: _Entry) -> None:
        if self.end(entry):
            self._requeue(entry)

    def _requeue(self, entry: _Entry) -> None:
        self._ready.appendleft(entry)  # as JetStream does: what returns goes first
        self._some.set()


class MemoryDelivery:
    """One event in a subscriber's hands."""

    def __init__(self, subscription: MemorySubscription, entry: _Entry) -> None:
        self._subscription = subscription
        self._entry = entry
        self.event = entry.event
        self.delivery_count = entry.count

    async def ack(self) -> None:
        """Say that the event is dealt with."""
        self._subscription.end(self._entry)

    async def nack(self, delay: timedelta = timedelta(0), *, reason: str = "") -> None:
        """Have the event delivered again after `delay`; after the last delivery, bury it."""
        self._subscription.again(self._entry, delay, reason)

    async def in_progress(self) -> None:
        """Ask for another `ack_wait`."""
        self._subscription.extend(self._entry)

    async def reject(self, reason: str) -> None:
        """Make the event a dead letter at once."""
        self._subscription.reject(self._entry, reason)
