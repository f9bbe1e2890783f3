"""How much of a stream may be on its way at once: a little, or what a long line holds. Pure.

What is on its way when either end dies has to be sent again, and what buffers hold beyond what
the line needs only makes that more. So the sender is paced by what has arrived: on a short line
two chunks, of which one travels while the other is written; on a longer one twice what arrived in
one round trip, so that it grows at every round trip until the line, and not the credit, is the
bound.
"""

from collections import deque
from typing import Final

# Within so short a round trip two chunks of 256 KiB are 100 MB/s and more; what is measured there
# is the processes and not the line.
SHORT_S: Final = 0.005
# Twice, as what may be sent is known at the sender only half a round trip after it was decided.
_GAIN: Final = 2
# A pause of the sender, or one slow write to a disk, does not undo what was learnt of the line.
_SHRINK: Final = 7 / 8


class Credit:
    """Decide how many bytes may be on their way, from when they were sent and when they arrived.

    It starts at two chunks and never falls below. Times are seconds of any monotonic clock. The
    shortest round trip is that of the whole stream: a later one may have waited in buffers that
    this very credit has filled, and a stream that breaks measures anew.
    """

    def __init__(self, chunk_bytes: int, *, most_bytes: int) -> None:
        """`chunk_bytes` is the size of a full chunk; `most_bytes` bounds what a line is given."""
        self._least = 2 * chunk_bytes
        self._most = max(most_bytes, self._least)
        self._sent = 0
        self._arrived = 0
        self._marks: deque[tuple[int, int, float]] = deque()  # bytes sent and arrived then, when
        self._shortest_s = float("inf")
        self.limit_bytes = self._least

    @property
    def under_way_bytes(self) -> int:
        """Return how much was sent and has not arrived; below 0 where more came than was due."""
        return self._sent - self._arrived

    def allows(self, count: int) -> bool:
        """Say whether `count` bytes may be sent now; one piece may always go, however large."""
        return self.under_way_bytes <= 0 or self.under_way_bytes + count <= self.limit_bytes

    def send(self, count: int, now: float) -> None:
        """Count `count` bytes as sent."""
        self._sent += count
        self._marks.append((self._sent, self._arrived, now))

    def arrive(self, count: int, now: float) -> None:
        """Count `count` bytes as arrived, and learn from when they were sent."""
        self._arrived += count
        mark: tuple[int, int, float] | None = None
        while self._marks and self._marks[0][0] <= self._arrived:
            mark = self._marks.popleft()
        if mark is None:
            return
        _, arrived_then, sent_time = mark
        took_s = max(now - sent_time, 0.0)
        self._shortest_s = min(self._shortest_s, took_s)
        wanted = self._least
        if self._shortest_s > SHORT_S:
            # By the shortest round trip and not this one: what waited in buffers needs no credit.
            rate = (self._arrived - arrived_then) / took_s
            wanted = int(_GAIN * rate * self._shortest_s)
        slowest = int(self.limit_bytes * _SHRINK)
        self.limit_bytes = min(self._most, max(self._least, wanted, slowest))
