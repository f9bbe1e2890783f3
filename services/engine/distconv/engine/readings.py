"""What was read of a source, in any order, remembered by its checksums.

They are kept by pieces of 1 MiB, of which every block is made, so that they can
be gathered before storage knows the blocks: while the source is uploaded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import google_crc32c

from distconv.core.crc32c import combine
from distconv.engine.block_sums import MIB

# Of so many the last ones are looked at for one that a new one continues: one that is missed costs
# another reading of its block, no more.
_LOOKED_AT = 32


@dataclass(frozen=True, slots=True)
class Reading:
    """The bytes `[start, end)`, by the CRC32C that they had when they were read."""

    start: int
    end: int
    crc: int


class Readings:
    """Gather readings; those that continue one another within 1 MiB are put together."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[Reading]] = {}

    def take(self, offset: int, data: bytes) -> None:
        """Note what was read."""
        view, begin, end = memoryview(data), offset, offset + len(data)
        while offset < end:
            stop = min((offset // MIB + 1) * MIB, end)
            whole = stop - offset == len(data)
            self._put(offset, data if whole else bytes(view[offset - begin : stop - begin]))
            offset = stop

    def _put(self, start: int, data: bytes) -> None:
        known = self._pieces.setdefault(start // MIB, [])
        end = start + len(data)
        before = _taken(known, lambda reading: reading.end == start)
        if before is None:
            crc = google_crc32c.value(data)
        else:
            crc, start = google_crc32c.extend(before.crc, data), before.start
        after = _taken(known, lambda reading: reading.start == end)
        if after is not None:
            crc, end = combine(crc, after.crc, after.end - after.start), after.end
        reading = Reading(start, end, crc)
        if reading not in known[-_LOOKED_AT:]:
            known.append(reading)

    def places(self) -> list[int]:
        """Return where the pieces begin of which something was read, in order."""
        return [index * MIB for index in sorted(self._pieces)]

    def take_whole(self, start: int, end: int) -> int | None:
        """Return the CRC32C of a block that was read whole, and forget that; None when it was not.

        The block begins where a piece does, and ends where one does or the source.
        """
        found: list[Reading] = []
        for at, stop in _cut(start, end):
            known = self._pieces.get(at // MIB, [])
            reading = next((r for r in known if (r.start, r.end) == (at, stop)), None)
            if reading is None:
                return None
            found.append(reading)
        crc = 0
        for reading in found:
            crc = combine(crc, reading.crc, reading.end - reading.start)
            self._forget(reading)
        return crc

    def _forget(self, reading: Reading) -> None:
        index = reading.start // MIB
        self._pieces[index].remove(reading)
        if not self._pieces[index]:
            del self._pieces[index]

    def take_rest(self, start: int, end: int) -> list[Reading]:
        """Return what was read of a block, and forget it."""
        return [r for at, _ in _cut(start, end) for r in self._pieces.pop(at // MIB, [])]


def _taken(known: list[Reading], fits: Callable[[Reading], bool]) -> Reading | None:
    """Take the reading that fits out of the last ones."""
    for index in range(len(known) - 1, max(len(known) - _LOOKED_AT, 0) - 1, -1):
        if fits(known[index]):
            return known.pop(index)
    return None


def _cut(start: int, end: int) -> Iterator[tuple[int, int]]:
    for at in range(start, end, MIB):
        yield at, min(at + MIB, end)
