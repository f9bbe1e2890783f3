import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.engine.frames import MAX_FRAME_BYTES, pack_frame, read_frame


async def read_all(data: bytes) -> list[bytes]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    found = []
    while (frame := await read_frame(reader)) is not None:
        found.append(frame)
    return found


@given(st.lists(st.binary(max_size=300)))
def test_frames_come_back_in_order(payloads):
    data = b"".join(pack_frame(p) for p in payloads)
    assert asyncio.run(read_all(data)) == payloads


@given(st.binary(min_size=1, max_size=300), st.integers(min_value=1, max_value=303))
def test_a_cut_frame_is_the_end(payload, cut):
    data = pack_frame(payload)
    assert asyncio.run(read_all(data[: max(len(data) - cut, 0)])) == []


async def test_a_hostile_length_is_refused():
    with pytest.raises(ValueError, match="frame"):
        await read_all(struct.pack(">I", MAX_FRAME_BYTES + 1))
