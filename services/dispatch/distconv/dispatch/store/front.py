"""How far the tasks of one urgency have been served, so that a newcomer begins there. Pure.

The highest rank that was taken says it as long as tasks are taken in their order.
They are not always: engines of their own let one line run ahead of another. So it
is held down to the heads of the lines from which tasks are being taken. A line
that no engine serves does not count: its old head would give whoever was idle a
claim to all the time since.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

# A line counts as served when something was taken from it so long before the latest taking of its
# urgency, or later. Long against the pause between two tasks, short against a day in an idle line.
_SERVED_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class LineFront:
    """A line: the rank at its head, None without tasks, and when one was last taken from it."""

    head_rank: float | None
    claim_time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The highest rank that was taken, and the lowest that waits in a line that is served."""

    claimed_rank: float
    waiting_rank: float | None

    @classmethod
    def of(cls, claimed_rank: float, lines: Iterable[LineFront]) -> Self:
        """Return the front of the lines of one urgency."""
        taken = [(line.claim_time, line.head_rank) for line in lines if line.claim_time is not None]
        latest = max((time for time, _ in taken), default=None)
        waiting = [
            rank
            for time, rank in taken
            if rank is not None and latest is not None and time >= latest - _SERVED_WITHIN
        ]
        return cls(claimed_rank=claimed_rank, waiting_rank=min(waiting, default=None))

    def virtual_time(self, claimed_rank: float = 0.0) -> float:
        """Return where a newcomer begins; `claimed_rank` was taken since."""
        claimed = max(self.claimed_rank, claimed_rank)
        return claimed if self.waiting_rank is None else min(claimed, self.waiting_rank)
