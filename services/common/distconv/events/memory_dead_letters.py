"""The dead letters of a memory bus."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import count

from distconv.core.clock import Clock
from distconv.core.errors import NotFoundError
from distconv.events.dedupe import DedupeWindow
from distconv.events.event import CloudEvent
from distconv.events.port import DeadLetter

_WINDOW = timedelta(minutes=10)
_KEPT_LETTERS = 10_000


class MemoryDeadLetters:
    """Keep the newest 10,000."""

    def __init__(
        self,
        clock: Clock,
        *,
        answer: Callable[[], None],
        deliver: Callable[[CloudEvent, str], None],
    ) -> None:
        """`answer` raises when the bus is away; `deliver` hands an event to a subscription."""
        self._clock = clock
        self._answer = answer
        self._deliver = deliver
        self._letters: dict[str, DeadLetter] = {}
        self._numbers = count(1)
        self._seen = DedupeWindow(clock, span=_WINDOW)

    async def bury(
        self, event: CloudEvent, *, subscription: str, reason: str, delivery_count: int
    ) -> None:
        """Add a dead letter, once."""
        self._answer()
        if self._seen.is_new((subscription, event.source, event.id)):
            self.add(event, subscription, reason, delivery_count)

    def add(self, event: CloudEvent, subscription: str, reason: str, delivery_count: int) -> None:
        """Add a dead letter."""
        letter = DeadLetter(
            id=str(next(self._numbers)),
            event=event,
            subscription=subscription,
            reason=reason,
            delivery_count=delivery_count,
            time=self._clock.now(),
        )
        self._letters[letter.id] = letter
        while len(self._letters) > _KEPT_LETTERS:
            del self._letters[next(iter(self._letters))]

    async def list(self, *, after: str = "", limit: int = 100) -> Sequence[DeadLetter]:
        """Return dead letters, oldest first."""
        self._answer()
        first = int(after or "0")
        return [letter for key, letter in self._letters.items() if int(key) > first][:limit]

    async def get(self, letter_id: str) -> DeadLetter:
        """Return one."""
        self._answer()
        letter = self._letters.get(letter_id)
        if letter is None:
            raise NotFoundError(f"there is no dead letter {letter_id[:40]}")
        return letter

    async def replay(self, letter_id: str) -> None:
        """Deliver one anew to its subscription, and remove it."""
        letter = await self.get(letter_id)
        self._deliver(letter.event, letter.subscription)
        del self._letters[letter_id]

    async def discard(self, letter_id: str) -> None:
        """Remove one for good."""
        await self.get(letter_id)
        del self._letters[letter_id]
