"""The outermost chunks of AVI and WAV."""

from distconv.core.errors import CorruptSourceError
from distconv.media.ports import RangedSource

# A writer that could not go back leaves 0 or all ones, and then nothing can be said.
_UNKNOWN = (0, 0xFFFFFFFF)
_MAX_CHUNKS = 1024  # OpenDML: one per GiB


async def check_riff(source: RangedSource) -> None:
    """Raise CorruptSourceError when a RIFF chunk says more bytes than there are."""
    offset, size = 0, source.size_bytes
    for _ in range(_MAX_CHUNKS):
        header = await source.read(offset, 12)
        if len(header) < 12 or header[:4] not in (b"RIFF", b"RF64"):
            return
        length = int.from_bytes(header[4:8], "little")
        if length in _UNKNOWN:
            return
        end = offset + 8 + length
        if end > size:
            raise CorruptSourceError(
                f"the file is cut short: its RIFF chunk needs {end} bytes, "
                f"but there are only {size}",
                metadata={"needed_bytes": str(end), "size_bytes": str(size)},
            )
        offset = end + (length & 1)
