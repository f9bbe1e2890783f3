from hypothesis import given
from hypothesis import strategies as st

from distconv.rpc.chunk_messages import read_response, write_request
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb

_INT64 = st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**32 - 1))
# Sizes on either side of where a length takes one more byte.
_DATA = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([b"x" * n for n in (127, 128, 16_383, 16_384, 262_144)]),
)


@given(offset=_INT64, data=_DATA, crc32c=_INT64)
def test_a_write_request_is_what_protobuf_makes(offset: int, data: bytes, crc32c: int) -> None:
    chunk = object_pb2.Chunk(offset=offset, data=data, crc32c=crc32c)
    expected = pb.WriteRequest(chunk=chunk).SerializeToString()
    assert write_request(offset, data, crc32c) == expected


@given(offset=_INT64, data=_DATA, crc32c=_INT64, range_done=st.booleans())
def test_a_read_response_is_what_protobuf_makes(
    offset: int, data: bytes, crc32c: int, *, range_done: bool
) -> None:
    chunk = object_pb2.Chunk(offset=offset, data=data, crc32c=crc32c)
    expected = pb.ReadResponse(chunk=chunk, range_done=range_done).SerializeToString()
    assert read_response(offset, data, crc32c, range_done=range_done) == expected
