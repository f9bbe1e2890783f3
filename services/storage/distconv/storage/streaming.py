"""The messages of the streams of chunks ↔ pieces and ranges."""

from collections.abc import AsyncIterator, Iterator

import google_crc32c

from distconv.rpc.chunk_messages import read_response
from distconv.storage import packing
from distconv.storage.following import Waiting
from distconv.storage.intake import Chunk
from distconv.storage.records import ObjectRecord
from distconv.storage.serving import Load
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb


async def chunks(
    first: pb.WriteRequest, rest: AsyncIterator[pb.WriteRequest]
) -> AsyncIterator[Chunk]:
    """Yield the chunks of a stream whose first message was read."""
    if first.HasField("chunk"):
        yield _chunk(first.chunk)
    async for request in rest:
        if request.HasField("chunk"):
            yield _chunk(request.chunk)


def _chunk(message: object_pb2.Chunk) -> Chunk:
    return Chunk(offset=message.offset, data=message.data, crc32c=message.crc32c)


async def ranges(
    first: pb.ReadRequest, rest: AsyncIterator[pb.ReadRequest]
) -> AsyncIterator[tuple[int, int]]:
    """Yield the ranges, offset and length, of a stream whose first message was read."""
    if first.HasField("range"):
        yield first.range.offset, first.range.length
    async for request in rest:
        if request.HasField("range"):
            yield request.range.offset, request.range.length


def read_responses(load: Load) -> Iterator[bytes]:
    """Yield the messages of what was read of a range, encoded."""
    if not load.pieces:  # a range to the end that begins there
        yield pb.ReadResponse(range_done=True).SerializeToString()
    offset = load.offset
    for number, data in enumerate(load.pieces, 1):
        done = load.last and number == len(load.pieces)
        yield read_response(offset, data, google_crc32c.value(data), range_done=done)
        offset += len(data)


def follow_responses(step: Load | Waiting | ObjectRecord) -> Iterator[bytes]:
    """Yield the messages of a step of following an upload, encoded."""
    if isinstance(step, Load):
        yield from read_responses(step)
    elif isinstance(step, Waiting):
        yield pb.ReadResponse(waiting=True).SerializeToString()
    else:
        yield described(packing.committed_object(step))


def described(message: object_pb2.Object) -> bytes:
    """Return the message that says what is read, encoded."""
    return pb.ReadResponse(object=message).SerializeToString()
