"""What of an upload has arrived or may, by URLs that were signed: what it needs, in how many parts.

Kept as it grows: nothing here costs more for an upload of many segments.
"""

from collections.abc import Iterable

from distconv.core.errors import ResourceExhaustedError
from distconv.core.ranges import Range, RangeSet

# A slow output is put in small segments, one a second: this lasts it for a day.
MAX_SMALL_SEGMENTS = 100_000
_SMALL_BYTES = 64 * 1024


class Claims:
    """The bytes that were written and those that were signed, together."""

    def __init__(self, name: str, written: Iterable[Range], *, max_fragments: int) -> None:
        """`name` is for messages."""
        self._name = name
        self._max_fragments = max_fragments
        self._signed = RangeSet()
        self._all = RangeSet()
        self._size_bytes = 0
        self._small = 0
        self.note(written)

    @property
    def any_signed(self) -> bool:
        """Say whether others were given URLs."""
        return bool(self._signed)

    def note(self, written: Iterable[Range]) -> None:
        """Take note of bytes that have arrived."""
        for start, end in written:
            self._size_bytes += self._all.add(start, end)

    def forget_lost(self, written: Iterable[Range]) -> None:
        """Go by what has arrived anew, after bytes were lost."""
        self._all, self._size_bytes = RangeSet(), 0
        self.note(self._signed)
        self.note(written)

    def size_with(self, start: int, end: int) -> int:
        """Return how many bytes it comes to with these."""
        return self._size_bytes + sum(b - a for a, b in self._all.gaps(start, end))

    def check(self, start: int, end: int) -> None:
        """Raise ResourceExhaustedError when one more segment is too many."""
        if len(self._all) > self._max_fragments:
            raise ResourceExhaustedError(
                f"{self._name} has, or has URLs for, more than {self._max_fragments} separate "
                "pieces; fill the gaps between them first"
            )
        if end - start < _SMALL_BYTES and self._small >= MAX_SMALL_SEGMENTS:
            raise ResourceExhaustedError(
                f"{self._name} was given {self._small} URLs for segments below {_SMALL_BYTES} "
                "bytes; put larger ones, or send the rest by Write"
            )

    def sign(self, start: int, end: int) -> None:
        """Take note of a URL."""
        self._signed.add(start, end)
        self._small += end - start < _SMALL_BYTES
        self.note([(start, end)])
