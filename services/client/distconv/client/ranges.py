"""Sets of byte ranges: what has arrived and what is missing. Pure."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

Span = tuple[int, int]  # first byte, byte after the last


class RangeSet:
    """A set of bytes, kept as sorted spans that neither touch nor overlap."""

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        for start, end in spans:
            self.add(start, end)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __len__(self) -> int:
        """Return how many bytes are in the set."""
        return sum(end - start for start, end in self._spans)

    def add(self, start: int, end: int) -> int:
        """Add the bytes from `start` to before `end`; return how many were new."""
        if start >= end:
            return 0
        before = len(self)
        low = bisect_left(self._spans, start, key=lambda span: span[1])
        high = low
        while high < len(self._spans) and self._spans[high][0] <= end:
            high += 1
        if low < high:
            start = min(start, self._spans[low][0])
            end = max(end, self._spans[high - 1][1])
        self._spans[low:high] = [(start, end)]
        return len(self) - before

    def missing(self, size: int) -> list[Span]:
        """Return the spans of 0..`size` that are not in the set, in order."""
        gaps, at = [], 0
        for start, end in self._spans:
            if start > at:
                gaps.append((at, min(start, size)))
            at = max(at, end)
            if at >= size:
                return gaps
        return [*gaps, (at, size)] if at < size else gaps


def pieces(spans: Iterable[Span], length: int) -> Iterator[Span]:
    """Cut spans into pieces of at most `length` bytes."""
    for start, end in spans:
        for at in range(start, end, length):
            yield at, min(at + length, end)
