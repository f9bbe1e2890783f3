"""How much of a stream may be in flight: a little, or what a long line holds. Pure.

What is in flight when either end dies has to be sent again, and what buffers hold beyond what
the line needs only makes that more. So the sender is paced by what the receiver has written: on a
short line two chunks, of which one travels while the other is written; on a longer one twice what
was written in one round trip, so that it grows at every round trip until the line, and not the
credit, is the bound.
"""

from collections import deque
from typing import Final, NamedTuple

# Within so short a round trip two chunks of 256 KiB are 100 MB/s and more; what is measured there
# is the processes and not the line.
SHORT_S: Final = 0.005
# Twice, as what may be sent is known at the sender only half a round trip after it was decided.
_GAIN: Final = 2
# A pause of the sender, or one slow write to a disk, does not undo what was learnt of the line.
_SHRINK: Final = 7 / 8


class _Mark(NamedTuple):
    """What had been sent and written in all when something was sent, bytes, and when that was."""

    sent_bytes: int
    written_bytes: int
    time_s: float


class Credit:
    """Decide how many bytes may be in flight, from when they were sent and when written.

    It starts at two chunks and never falls below. Times are seconds of any monotonic clock. The
    shortest round trip is that of the whole stream: a later one may have waited in buffers that
    this very credit has filled, and a stream that breaks measures anew.
    """

    def __init__(self, chunk_bytes: int, *, most_bytes: int) -> None:
        """`chunk_bytes` is the size of a full chunk; `most_bytes` bounds what a line is given."""
        self._least = 2 * chunk_bytes
        self._most = max(most_bytes, self._least)
        self._sent = 0
        self._written = 0
        self._marks: deque[_Mark] = deque()
        self._shortest_s = float("inf")
        self.limit_bytes = self._least

    @property
    def in_flight_bytes(self) -> int:
        """Return how much was sent and is not written; below 0 where more came than was due."""
        return self._sent - self._written

    def allows(self, size_bytes: int) -> bool:
        """Say whether so much may be sent now; beyond the limit only when nothing is in flight."""
        return self.in_flight_bytes <= 0 or self.in_flight_bytes + size_bytes <= self.limit_bytes

    def sent(self, size_bytes: int, now_s: float) -> None:
        """Count so much as sent."""
        self._sent += size_bytes
        self._marks.append(_Mark(self._sent, self._written, now_s))

    def written(self, size_bytes: int, now_s: float) -> None:
        """Count so much as written, and learn from when it was sent."""
        self._written += size_bytes
        mark: _Mark | None = None
        while self._marks and self._marks[0].sent_bytes <= self._written:
            mark = self._marks.popleft()
        if mark is None:
            return
        took_s = max(now_s - mark.time_s, 0.0)
        self._shortest_s = min(self._shortest_s, took_s)
        wanted = self._least
        if self._shortest_s > SHORT_S:
            # By the shortest round trip and not this one: what waited in buffers needs no credit.
            rate = (self._written - mark.written_bytes) / took_s
            wanted = int(_GAIN * rate * self._shortest_s)
        slowest = int(self.limit_bytes * _SHRINK)
        self.limit_bytes = min(self._most, max(self._least, wanted, slowest))
