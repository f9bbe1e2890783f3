"""How much of a stream may be in flight, and in chunks of what size. Pure.

What is in flight when either end dies has to be sent again, and what buffers hold beyond what the
line needs only makes that more. So a sender is paced by what the receiver has written. It begins
with two chunks, of which one travels while the other is written. While a line is fast its chunks
are larger, as a chunk costs both ends about as much whatever it holds. Where two chunks carry less
than a gigabit line does, twice as much is tried, and kept only if it carries more, again and again
until it does not: what holds the stream then is not the credit but the line, a disk, a processor.
A round trip is not looked at: what a busy machine adds to it is no sign of a queue, and what a
queue adds is no sign of a long line.
"""

from collections import deque
from typing import Final

# A trial has brought more when it carries so many times what was carried before. Speeds of epochs
# on one line and a busy machine differ by less.
_GAIN: Final = 1.2
# A stream that carries so much, bytes/s, is given no more: a line of 1 Gbit/s has 118e6 for the
# payload of TCP, less what gRPC and TLS add.
_ENOUGH: Final = 110e6
# A chunk that is over sooner is made twice as long, s: then handling chunks is much of the work,
# and a larger one, sent again or waited for, is nothing that anybody notices.
_SHORT_CHUNK_S: Final = 0.01
# A chunk that takes longer is halved, s: the line has become slow.
_LONG_CHUNK_S: Final = 0.08
# Speeds are taken of so many chunks, and of all that is in flight at least twice.
_EPOCH_CHUNKS: Final = 16
# More is tried when so many epochs were slow, and none of the last so many was not.
_LEAST_EPOCHS: Final = 2
_MOST_EPOCHS: Final = 8
# A trial that brought nothing may have met a bad moment, and a line may change: s until the next,
# twice as long after each.
_FIRST_REST_S: Final = 3.0
_LONGEST_REST_S: Final = 60.0


class Credit:
    """Decide how many bytes may be in flight, in chunks of which size, from how fast they go.

    It starts at two chunks and never falls below. Times are seconds of any monotonic clock, sizes
    bytes, speeds bytes/s.
    """

    def __init__(self, chunk_bytes: int, *, largest_chunk_bytes: int, most_bytes: int) -> None:
        """`chunk_bytes` is the size of a full chunk at first, and the least that it ever is.

        `largest_chunk_bytes` is the most that it ever is; `most_bytes` bounds what a line is given.
        """
        self.chunk_bytes = chunk_bytes
        self._smallest_chunk = chunk_bytes
        self._largest_chunk = largest_chunk_bytes
        self._most = max(most_bytes, 2 * largest_chunk_bytes)
        self._sent = 0
        self._written = 0
        self._held = False  # the credit was all used in this epoch
        self._begin: tuple[int, float] | None = None  # written then, and when the epoch began
        # What is in flight at the beginning, and behind a change, says little of the speed.
        self._settled_bytes = 4 * chunk_bytes
        self._kept: tuple[int, float] | None = None  # the limit before the trial, and its speed
        # Of the last epochs with this limit and such chunks, trials apart.
        self._speeds: deque[float] = deque(maxlen=_MOST_EPOCHS)
        self._rests_until = 0.0
        self._rest_s = _FIRST_REST_S
        self.limit_bytes = 2 * chunk_bytes

    @property
    def in_flight_bytes(self) -> int:
        """Return how much was sent and is not written; below 0 where more came than was due."""
        return self._sent - self._written

    def allows(self, size_bytes: int) -> bool:
        """Say whether so much may be sent now; beyond the limit only when nothing is in flight."""
        return self.in_flight_bytes <= 0 or self.in_flight_bytes + size_bytes <= self.limit_bytes

    def sent(self, size_bytes: int) -> None:
        """Count so much as sent."""
        self._sent += size_bytes
        if self.in_flight_bytes + self.chunk_bytes > self.limit_bytes:
            self._held = True

    def written(self, size_bytes: int, now_s: float) -> None:
        """Count so much as written, and learn how fast that goes."""
        self._written += size_bytes
        if self._begin is None:
            if self._written >= self._settled_bytes:
                self._begin = self._written, now_s
                self._held = False
            return
        begin_bytes, begin_s = self._begin
        done_bytes = self._written - begin_bytes
        if done_bytes < max(_EPOCH_CHUNKS * self.chunk_bytes, 2 * self.limit_bytes):
            return
        self._begin = None
        self._settled_bytes = self._written
        if self._held and now_s > begin_s:
            self._learn(done_bytes / (now_s - begin_s), now_s)

    def _learn(self, speed: float, now_s: float) -> None:
        """Take the speed of an epoch: end a vain trial, fit the chunks, or try more."""
        proved = False
        if self._kept is not None:
            limit_bytes, fastest = self._kept
            self._kept = None
            if speed < _GAIN * fastest:
                self.limit_bytes = limit_bytes
                self._rests_until = now_s + self._rest_s
                self._rest_s = min(2 * self._rest_s, _LONGEST_REST_S)
                return
            self._speeds.clear()
            proved = True
        self._speeds.append(speed)
        if (fitting_bytes := self._fitting_chunk(speed)) != self.chunk_bytes:
            self._cut_by(fitting_bytes)
            return
        # One slow epoch may be a machine that was busy for a moment, and some a disk that stood
        # still: what was carried with the same credit not long ago is no fault of the credit now.
        fastest = max(self._speeds)
        slow = fastest < _ENOUGH and (proved or len(self._speeds) >= _LEAST_EPOCHS)
        if slow and now_s >= self._rests_until and self.limit_bytes < self._most:
            self._kept = self.limit_bytes, fastest
            self.limit_bytes = min(2 * self.limit_bytes, self._most)
            self._settle()

    def _fitting_chunk(self, speed: float) -> int:
        if speed * _SHORT_CHUNK_S > self.chunk_bytes:
            return min(2 * self.chunk_bytes, self._largest_chunk)
        if speed * _LONG_CHUNK_S < self.chunk_bytes:
            return max(self.chunk_bytes // 2, self._smallest_chunk)
        return self.chunk_bytes

    def _cut_by(self, chunk_bytes: int) -> None:
        # A line that has become slow holds less, too.
        grown_bytes = self.limit_bytes if chunk_bytes > self.chunk_bytes else 0
        self.limit_bytes = max(grown_bytes, 2 * chunk_bytes)
        self.chunk_bytes = chunk_bytes
        self._speeds.clear()  # those of other chunks say nothing of these
        self._settle()

    def _settle(self) -> None:
        """Let pass what is in flight, and as much again, before the next epoch."""
        self._settled_bytes = self._written + 2 * self.limit_bytes
