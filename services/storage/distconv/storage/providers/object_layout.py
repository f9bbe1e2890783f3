"""Where the bytes of a staging in an object store lie: in memory, or in segments of the bucket.

Pure: what was given, and what is to be fetched for a range.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distconv.core.ranges import Range, RangeSet
from distconv.storage.providers.port import Piece


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """An object of the bucket that holds the bytes `[start, end)`."""

    start: int
    end: int

    @property
    def name(self) -> str:
        """Return its last part of a key: what it holds, and so that names sort by it."""
        return f"{self.start:016x}-{self.end:016x}"

    @property
    def size_bytes(self) -> int:
        """Return how many bytes that are."""
        return self.end - self.start

    @classmethod
    def parse(cls, name: str) -> "Segment | None":
        """Return the segment of that name, None when it names none."""
        start, _, end = name.partition("-")
        try:
            segment = cls(start=int(start, 16), end=int(end, 16))
        except ValueError:
            return None
        return segment if segment.name == name and segment.start < segment.end else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The bytes `[start, end)`: of `data`, which begins at `start`, or of a segment."""

    start: int
    end: int
    data: bytes | None = None
    segment: Segment | None = None


class Layout:
    """The parts of a staging, disjoint and sorted."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._parts: list[Part] = []
        self._covered = RangeSet()

    def hold(self, pieces: Sequence[Piece]) -> None:
        """Take pieces into memory; what is there already is skipped."""
        for offset, data in pieces:
            for start, end in list(self._covered.gaps(offset, offset + len(data))):
                whole = end - start == len(data)
                held = data if whole else data[start - offset : end - offset]
                self._insert(Part(start=start, end=end, data=held))

    def found(self, segment: Segment) -> list[Range]:
        """Take note of a segment; return what of it is new."""
        gaps = list(self._covered.gaps(segment.start, segment.end))
        for start, end in gaps:
            self._insert(Part(start=start, end=end, segment=segment))
        return gaps

    def uses(self, segment: Segment) -> bool:
        """Say whether any bytes are to be fetched from that segment."""
        return any(part.segment == segment for part in self._within(segment.start, segment.end))

    def _insert(self, part: Part) -> None:
        at = bisect_left(self._starts, part.start)
        self._starts.insert(at, part.start)
        self._parts.insert(at, part)
        self._covered.add(part.start, part.end)

    def runs(self, ranges: Sequence[Range], largest_bytes: int) -> list[list[Part]]:
        """Return the parts in memory that lie in `ranges`, as runs that make one segment each."""
        runs: list[list[Part]] = []
        for start, end in ranges:
            run: list[Part] = []
            for part in self._within(start, end):
                if part.data is None:
                    continue
                if run and (part.start != run[-1].end or part.end - run[0].start > largest_bytes):
                    runs.append(run)
                    run = []
                run.append(part)
            if run:
                runs.append(run)
        return runs

    def stored(self, segment: Segment) -> None:
        """Note that the bytes of a run lie in a segment now, and free the memory."""
        first = bisect_left(self._starts, segment.start)
        last = bisect_left(self._starts, segment.end)
        self._starts[first:last] = [segment.start]
        self._parts[first:last] = [Part(start=segment.start, end=segment.end, segment=segment)]

    def drop_held(self) -> None:
        """Forget what is in memory alone."""
        self._parts = [part for part in self._parts if part.segment is not None]
        self._starts = [part.start for part in self._parts]
        self._covered = RangeSet((part.start, part.end) for part in self._parts)

    def parts(self, start: int, end: int) -> Iterator[Part]:
        """Yield the bytes from `start` as far as they are contiguous, at most to `end`."""
        for part in self._within(start, end):
            if part.start > start:
                return
            stop = min(part.end, end)
            if part.data is not None:
                data = part.data[start - part.start : stop - part.start]
                yield Part(start=start, end=stop, data=data)
            else:
                yield Part(start=start, end=stop, segment=part.segment)
            start = stop

    def _within(self, start: int, end: int) -> list[Part]:
        first = max(bisect_right(self._starts, start) - 1, 0)
        if first < len(self._parts) and self._parts[first].end <= start:
            first += 1
        return self._parts[first : bisect_left(self._starts, end)]
