"""Sets of bytes as sorted, merged, half-open ranges. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

Range = tuple[int, int]
"""The bytes from the first number up to, not including, the second."""


class RangeSet:
    """A set of bytes, kept as the fewest ranges `[start, end)`, sorted.

    Every operation costs O(log n) to find its place in n ranges, and at worst
    a move of the lists' tails.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self.update(ranges)

    def add(self, start: int, end: int) -> int:
        """Put the bytes `[start, end)` in; return how many were new."""
        if start >= end:
            return 0
        # Ranges that touch or overlap [start, end): from the first that ends at
        # or behind start to the last that starts at or before end.
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        if first < last:
            start = min(start, self._starts[first])
            end = max(end, self._ends[last - 1])
        held = sum(self._ends[first:last]) - sum(self._starts[first:last])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]
        return end - start - held

    def update(self, ranges: Iterable[Range]) -> None:
        """Put every range in."""
        for start, end in ranges:
            self.add(start, end)

    def covers(self, start: int, end: int) -> bool:
        """Say whether every byte of `[start, end)` is in."""
        return start >= end or self.end_of_run(start) >= end

    def end_of_run(self, at: int) -> int:
        """Return where the run of bytes that holds `at` ends; `at` itself when it is not in."""
        place = bisect_right(self._starts, at) - 1
        return max(at, self._ends[place]) if place >= 0 else at

    def gaps(self, start: int, end: int) -> Iterator[Range]:
        """Yield what is missing of `[start, end)`, in order."""
        place = bisect_right(self._ends, start)
        while start < end:
            if place == len(self._starts) or self._starts[place] >= end:
                yield start, end
                return
            if self._starts[place] > start:
                yield start, self._starts[place]
            start = self._ends[place]
            place += 1

    @property
    def end(self) -> int:
        """Return the position behind the last byte; 0 for the empty set."""
        return self._ends[-1] if self._ends else 0

    @property
    def size_bytes(self) -> int:
        """Return how many bytes are in."""
        return sum(self._ends) - sum(self._starts)

    def copy(self) -> "RangeSet":
        """Return an independent set of the same bytes."""
        twin = RangeSet()
        twin._starts, twin._ends = self._starts.copy(), self._ends.copy()
        return twin

    def __iter__(self) -> Iterator[Range]:
        return iter(list(zip(self._starts, self._ends, strict=True)))

    def __len__(self) -> int:
        """Return the number of ranges, not of bytes."""
        return len(self._starts)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RangeSet):
            return NotImplemented
        return self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"RangeSet({list(self)})"


def pieces(ranges: Iterable[Range], length: int) -> Iterator[Range]:
    """Cut ranges into pieces of at most `length` bytes, in order."""
    for start, end in ranges:
        for at in range(start, end, length):
            yield at, min(at + length, end)
