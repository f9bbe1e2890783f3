"""Which bytes of a staging are written and which are durable; shared by the adapters."""

from collections.abc import Sequence

from distconv.core.ranges import Range, RangeSet
from distconv.storage.providers.port import Piece, spans, total


class Ledger:
    """Count bytes from written to durable."""

    def __init__(self, durable: RangeSet | None = None) -> None:
        self.durable = durable or RangeSet()
        self.written = self.durable.copy()
        self._unsynced = RangeSet()
        self.unsynced_bytes = 0

    def note_written(self, pieces: Sequence[Piece]) -> None:
        """Note that pieces were written."""
        for start, end in spans(pieces):
            self.written.add(start, end)
            self._unsynced.add(start, end)
        self.unsynced_bytes += total(pieces)

    def note_found(self, found: Range) -> None:
        """Note bytes that another process has made durable."""
        self.durable.add(*found)
        self.written.add(*found)

    def begin_sync(self) -> list[Range]:
        """Return what a sync that begins now makes durable."""
        ranges = list(self._unsynced)
        self._unsynced = RangeSet()
        self.unsynced_bytes = 0
        return ranges

    def note_durable(self, ranges: Sequence[Range]) -> None:
        """Note that a sync succeeded."""
        self.durable.update(ranges)

    def lose(self) -> None:
        """Note that a sync failed: the kernel may have dropped any page that was dirty."""
        self.written = self.durable.copy()
        self._unsynced = RangeSet()
        self.unsynced_bytes = 0
