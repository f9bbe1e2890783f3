"""Check a source's structure before anything parses its media."""

from dataclasses import dataclass

from distconv.core.errors import CorruptSourceError
from distconv.media.ports import RangedSource
from distconv.media.structure.asf import check_asf
from distconv.media.structure.boxes import TopLevel, require_index, scan_top_level
from distconv.media.structure.ebml import check_matroska
from distconv.media.structure.riff import check_riff
from distconv.media.structure.sniff import SNIFF_BYTES, Structure, sniff


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What the bytes say: the structure, and an MP4's top-level boxes."""

    structure: Structure
    boxes: TopLevel | None = None

    @property
    def index_last(self) -> bool:
        """Say whether this is an MP4 whose index lies behind its media."""
        return self.boxes is not None and self.boxes.index_last


async def check_structure(source: RangedSource) -> Checked:
    """Check that a source is a media file and that all of it is there, as far as its bytes say.

    Reads a few kilobytes. Raises CorruptSourceError (empty, cut short,
    damaged) or UnsupportedSourceError (text, playlist, manifest).
    """
    if source.size_bytes == 0:
        raise CorruptSourceError("the file is empty")
    structure = sniff(await source.read(0, SNIFF_BYTES))
    if structure is Structure.MATROSKA:
        await check_matroska(source)
    elif structure is Structure.RIFF:
        await check_riff(source)
    elif structure is Structure.ASF:
        await check_asf(source)
    elif structure is Structure.MP4:
        found = await scan_top_level(source)
        require_index(found)
        return Checked(structure=structure, boxes=found)
    return Checked(structure=structure)
