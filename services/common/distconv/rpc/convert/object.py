"""Byte ranges and chunks ↔ their messages."""

from collections.abc import Iterable

import google_crc32c

from distconv.core.ranges import Range
from distconv.v1 import object_pb2 as pb


def byte_ranges(ranges: Iterable[Range]) -> list[pb.ByteRange]:
    """Convert ranges from start and end to offset and length."""
    return [pb.ByteRange(offset=start, length=end - start) for start, end in ranges]


def to_ranges(messages: Iterable[pb.ByteRange]) -> list[Range]:
    """Convert ranges from offset and length to start and end."""
    return [(message.offset, message.offset + message.length) for message in messages]


def chunk(offset: int, data: bytes) -> pb.Chunk:
    """Make the message of `data` at `offset`, with its CRC32C."""
    return pb.Chunk(offset=offset, data=data, crc32c=google_crc32c.value(data))


def intact_data(message: pb.Chunk) -> bytes | None:
    """Return a chunk's bytes; None when they are not those that its CRC32C was made of."""
    data = message.data  # once: each access copies
    return data if google_crc32c.value(data) == message.crc32c else None
