"""Frames on the pipes between supervisor and runner: four bytes of length, then the bytes."""

import asyncio
import struct

_LENGTH = struct.Struct(">I")
# The largest thing that travels is a plan with its probe; a hostile length must not fill memory.
MAX_FRAME_BYTES = 16 * 1024 * 1024


def pack_frame(payload: bytes) -> bytes:
    """Return the payload with its length before it."""
    return _LENGTH.pack(len(payload)) + payload


async def read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next payload, None at the end of the stream (also in the middle of a frame).

    Raises ValueError for a length beyond MAX_FRAME_BYTES.
    """
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None
