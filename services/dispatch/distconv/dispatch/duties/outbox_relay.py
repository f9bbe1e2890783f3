"""Carry events from the outbox to the bus: each at least once, in the order of the outbox."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import DistconvError, UnavailableError
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.events.wire import event_of, raw_event_of
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import OutboxRecord
from distconv.events.event import CloudEvent
from distconv.events.port import EventBus, EventRefusedError

_log = structlog.get_logger()

DUTY = "outbox_relay"
_PAGE = 200
# Another replica that holds the duty has it for one page.
_WHEN_HELD = timedelta(milliseconds=200)
_FIRST_DELAY = timedelta(milliseconds=250)
_MAX_DELAY = timedelta(seconds=10)


class OutboxRelay:
    """Publish what was committed, and take it out of the outbox once the bus has it.

    One replica at a time does it. One that dies after a page was published and
    before it was taken out leaves it to be published again, with the same ids.
    """

    name = DUTY

    def __init__(
        self,
        store: Store,
        changes: Changes,
        bus: EventBus,
        clock: Clock,
        *,
        randomness: Callable[[], float],
        sweep_interval: timedelta | None = None,
    ) -> None:
        """`sweep_interval` is how often to look for what a dead replica left; None is never.

        `randomness` returns 0..1, to spread the tries of many while the bus is away.
        """
        self._store = store
        self._changes = changes
        self._bus = bus
        self._clock = clock
        self._randomness = randomness
        self._sweep_interval = sweep_interval
        self._failures = 0

    async def run(self) -> datetime | None:
        """Publish what is there; return when to look again."""
        while True:
            async with self._store.duty(DUTY) as mine:
                if not mine:
                    return self._clock.now() + _WHEN_HELD
                page = await self._store.list_events(limit=_PAGE)
                if page:
                    try:
                        await self._publish(page)
                    except UnavailableError as error:
                        return self._later(error)
                    await self._take_out([row.number for row in page])
            if len(page) < _PAGE:
                sweep = self._sweep_interval
                return None if sweep is None else self._clock.now() + sweep

    async def _publish(self, page: Sequence[OutboxRecord]) -> None:
        events = [event for row in page if (event := await self._event(row)) is not None]
        while events:
            try:
                await self._bus.publish(events)
                break
            except EventRefusedError as error:
                refused = events.pop(error.position)
                _log.warning(
                    "event_refused", type=refused.type, subject=refused.subject, why=error.message
                )
                await self._bury(refused, error)
        if self._failures:
            _log.info("events_resumed", after_failures=self._failures)
        self._failures = 0

    async def _take_out(self, numbers: Sequence[int]) -> None:
        async def make(change: Change) -> None:
            await change.tx.remove_events(numbers)

        await self._changes.make(make)

    async def _event(self, row: OutboxRecord) -> CloudEvent | None:
        """Make a row's event. One that none can be made of goes among the dead letters."""
        try:
            return event_of(row)
        except DistconvError as error:
            _log.warning("event_unreadable", number=row.number, type=row.type, why=error.message)
            await self._bury(raw_event_of(row), error)
            return None

    async def _bury(self, event: CloudEvent, error: DistconvError) -> None:
        """Put an event among the dead letters; one that even they cannot hold is logged."""
        try:
            await self._bus.dead_letters.bury(
                event,
                subscription="",
                reason=f"it could not be published: {error.message}",
                delivery_count=0,
            )
        except EventRefusedError as refusal:
            _log.error(
                "event_dropped",
                id=event.id,
                type=event.type,
                subject=event.subject,
                size_bytes=len(event.data),
                why=refusal.message,
            )

    def _later(self, error: UnavailableError) -> datetime:
        self._failures += 1
        delay = min(_FIRST_DELAY * (1 << min(self._failures, 20)), _MAX_DELAY)
        if self._failures == 1:
            _log.warning("events_held_back", why=error.message)
        return self._clock.now() + delay * (0.5 + 0.5 * self._randomness())
