import asyncio

from distconv.rpc.limits import CHUNK_BYTES
from distconv.rpc.pacing import Pacer
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb


async def _let_go(pacer: Pacer, times: int) -> "asyncio.Task[None]":
    async def chunks() -> None:
        for _ in range(times):
            await pacer.let_go(CHUNK_BYTES)

    going = asyncio.create_task(chunks())
    await _turn()
    return going


async def _turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_sender_that_hears_nothing_stops_after_two_chunks() -> None:
    pacer = Pacer()
    going = await _let_go(pacer, 3)
    assert pacer.under_way_bytes == 2 * CHUNK_BYTES
    assert not going.done()
    pacer.arrived(CHUNK_BYTES)
    await going
    assert pacer.under_way_bytes == 2 * CHUNK_BYTES


async def test_what_storage_took_makes_room_and_what_is_durable_does_not_again() -> None:
    pacer = Pacer()
    await _let_go(pacer, 2)
    pacer.answered(pb.WriteResponse(taken_bytes=CHUNK_BYTES))
    assert pacer.under_way_bytes == CHUNK_BYTES
    durable = object_pb2.ByteRange(offset=0, length=CHUNK_BYTES)
    pacer.answered(pb.WriteResponse(acknowledged=[durable]))
    assert pacer.under_way_bytes == CHUNK_BYTES


async def test_a_storage_that_does_not_report_what_it_took_makes_room_with_what_is_durable() -> (
    None
):
    pacer = Pacer()
    await _let_go(pacer, 2)
    durable = object_pb2.ByteRange(offset=0, length=2 * CHUNK_BYTES)
    pacer.answered(pb.WriteResponse(acknowledged=[durable]))
    assert pacer.under_way_bytes == 0


async def test_a_reader_allows_two_chunks_and_then_what_arrived() -> None:
    pacer = Pacer()
    assert pacer.extend() == 2 * CHUNK_BYTES
    assert pacer.extend() == 0
    pacer.arrived(CHUNK_BYTES - 1)
    assert pacer.extend() == 0  # less than a chunk is worth no message
    pacer.arrived(1)
    assert pacer.extend() == CHUNK_BYTES
