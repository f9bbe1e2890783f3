"""The messages of the streams of chunks ↔ pieces and ranges."""

from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import google_crc32c

from distconv.rpc.chunk_messages import read_response
from distconv.storage import packing
from distconv.storage.following import Waiting
from distconv.storage.intake import Chunk
from distconv.storage.read_requests import ReadRequest, ReadRequests
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


def read_requests(first: pb.ReadRequest, rest: AsyncIterator[pb.ReadRequest]) -> ReadRequests:
    """Return the requests of a stream whose first message was read."""

    async def others() -> AsyncIterator[ReadRequest]:
        async for message in rest:
            yield _read_request(message)

    return ReadRequests(_read_request(first), others())


def _read_request(message: pb.ReadRequest) -> ReadRequest:
    asked = message.range
    return ReadRequest(
        range=(asked.offset, asked.length) if message.HasField("range") else None,
        credit_bytes=message.credit_bytes,
        chunk_bytes=message.chunk_bytes,
    )


class Response(NamedTuple):
    """A message of a stream of reads, encoded, and how many bytes of its object it carries."""

    encoded: bytes
    data_bytes: int = 0


def read_responses(load: Load) -> Iterator[Response]:
    """Yield the messages of what was read of a range."""
    if not load.pieces:  # a range to the end that begins there
        yield Response(pb.ReadResponse(range_done=True).SerializeToString())
    offset = load.offset
    for number, data in enumerate(load.pieces, 1):
        done = load.last and number == len(load.pieces)
        encoded = read_response(offset, data, google_crc32c.value(data), range_done=done)
        yield Response(encoded, len(data))
        offset += len(data)


def follow_responses(step: Load | Waiting | ObjectRecord) -> Iterator[Response]:
    """Yield the messages of a step of following an upload."""
    if isinstance(step, Load):
        yield from read_responses(step)
    elif isinstance(step, Waiting):
        yield Response(pb.ReadResponse(waiting=True).SerializeToString())
    else:
        yield described(packing.committed_object(step))


def described(message: object_pb2.Object) -> Response:
    """Return the message that says what is read."""
    return Response(pb.ReadResponse(object=message).SerializeToString())
