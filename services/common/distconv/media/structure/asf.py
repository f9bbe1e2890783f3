"""The header of ASF files (WMV, WMA): Microsoft's ASF specification 1.2, §2.2 and §3.2."""

from distconv.core.errors import CorruptSourceError
from distconv.media.ports import RangedSource

# GUIDs as they lie in the file.
HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")

_HEADER_BYTES = 30  # GUID, size, number of objects, two reserved bytes
_OBJECT_BYTES = 24  # GUID, size
_FILE_SIZE_AT = 40  # within the File Properties object
_FLAGS_AT = 88
_BROADCAST = 1  # then the size is not valid (§3.2)
_MAX_OBJECTS = 64


async def check_asf(source: RangedSource) -> None:
    """Raise CorruptSourceError when the header says more bytes than there are."""
    offset = _HEADER_BYTES
    for _ in range(_MAX_OBJECTS):
        head = await source.read(offset, _FLAGS_AT + 4)
        if len(head) < _OBJECT_BYTES:
            return
        if head[:16] == FILE_PROPERTIES and len(head) == _FLAGS_AT + 4:
            _check_size(head, source.size_bytes)
            return
        length = int.from_bytes(head[16:24], "little")
        if length < _OBJECT_BYTES:
            return
        offset += length


def _check_size(properties: bytes, size_bytes: int) -> None:
    flags = int.from_bytes(properties[_FLAGS_AT : _FLAGS_AT + 4], "little")
    needed = int.from_bytes(properties[_FILE_SIZE_AT : _FILE_SIZE_AT + 8], "little")
    if not flags & _BROADCAST and needed > size_bytes:
        raise CorruptSourceError(
            f"the file is cut short: its header says {needed} bytes, but there are only "
            f"{size_bytes}",
            metadata={"needed_bytes": str(needed), "size_bytes": str(size_bytes)},
        )
