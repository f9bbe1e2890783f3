"""Two replicas on one PostgreSQL behave as one; the hints between them may be lost."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import pytest

from distconv.core.clock import SystemClock
from distconv.dispatch.store.sql import SqlStore
from distconv.dispatch.testing import FakeObjects, ManualClock
from distconv.events.event import CloudEvent
from distconv.events.filter import EventFilter
from distconv.events.memory import MemoryEventBus
from distconv.events.memory_broadcast import MemoryBroadcast
from distconv.events.nats import open_nats
from distconv.events.nats_settings import NatsSettings
from distconv.events.port import Broadcast, EventBus
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_service_pb2 as session_pb
from distconv.v1 import event_pb2, job_pb2
from servers import PostgresqlServer

from .conftest import PATIENCE_S, Farm, open_replica

_numbers = itertools.count(1)

# Long enough that only a hint can be what made something happen.
_NEVER_S = 3600.0


@dataclass
class Pair:
    one: Farm
    two: Farm
    bus: EventBus
    broadcasts: list[Broadcast]


async def _pair(
    stack: AsyncExitStack,
    postgresql: PostgresqlServer,
    kind: str,
    nats_url: str,
    **settings: float,
) -> Pair:
    url = postgresql.new_database()
    clock, objects = ManualClock(), FakeObjects()
    prefix = f"pair{next(_numbers)}"
    memory = MemoryBroadcast()
    shared = MemoryEventBus(clock)
    farms: list[Farm] = []
    broadcasts: list[Broadcast] = []
    buses: list[EventBus] = []
    for _ in range(2):
        bus: EventBus = shared
        broadcast: Broadcast = memory
        if kind == "nats":
            opened = await stack.enter_async_context(
                open_nats(NatsSettings(servers=(nats_url,), prefix=prefix), SystemClock())
            )
            async with asyncio.timeout(PATIENCE_S):
                await opened.link.wait()
            bus, broadcast = opened.bus, opened.broadcast
        store = await SqlStore.open_postgresql(url)
        farms.append(
            await stack.enter_async_context(
                open_replica(
                    store,
                    clock,
                    objects,
                    bus=bus,
                    broadcast=broadcast,
                    **{"sweep_interval_s": _NEVER_S, "share_interval_s": 0.05, **settings},
                )
            )
        )
        broadcasts.append(broadcast)
        buses.append(bus)
    return Pair(one=farms[0], two=farms[1], bus=buses[0], broadcasts=broadcasts)


@pytest.fixture(params=["memory", "nats"])
async def pair(request: pytest.FixtureRequest, postgresql: PostgresqlServer) -> AsyncIterator[Pair]:
    url = request.getfixturevalue("nats").url if request.param == "nats" else ""
    async with AsyncExitStack() as stack:
        yield await _pair(stack, postgresql, request.param, url)


async def test_a_job_created_here_runs_on_an_engine_there_and_is_watched_here(pair: Pair):
    engine = await pair.two.engine()
    job = await pair.one.job()
    await engine.probe()
    work = await engine.next_assignment()
    await engine.reply(work)
    await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING, 10))
    await pair.one.until(job.name, lambda j: j.progress.frame_count == 10)
    await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING, 20))
    seen = await pair.one.until(job.name, lambda j: j.progress.frame_count == 20)
    assert seen.state == job_pb2.JOB_STATE_TRANSCODING
    listed = (await pair.one.client.ListJobs(pb.ListJobsRequest())).jobs
    assert [j.progress.frame_count for j in listed] == [20]
    assert (await pair.one.get(job.name)).progress.frame_count == 20
    pair.two.store_output(work)
    assert (await engine.tell(engine.transcoded(work))).accepted
    await pair.one.until_state(job.name, job_pb2.JOB_STATE_COMPLETED)


async def test_a_cancel_here_reaches_the_engine_there(pair: Pair):
    engine = await pair.two.engine()
    job = await pair.one.job()
    probe = await engine.next_assignment()
    await engine.reply(probe)
    await pair.one.until_state(job.name, job_pb2.JOB_STATE_ASSIGNED)
    await pair.one.client.CancelJob(pb.CancelJobRequest(name=job.name))
    stop = (await engine.hear("cancel_attempt")).cancel_attempt
    assert stop.attempt == probe.attempt


async def test_events_of_both_are_on_the_bus_once_and_in_order(pair: Pair):
    async with pair.bus.subscribe("all", EventFilter(collection="jobs")) as subscription:
        engine = await pair.two.engine()
        job = await pair.one.job()
        await engine.probe()
        work = await engine.next_assignment()
        await engine.reply(work)
        pair.two.store_output(work)
        assert (await engine.tell(engine.transcoded(work))).accepted
        seen: list[CloudEvent] = []
        async with asyncio.timeout(PATIENCE_S):
            while not seen or seen[-1].name != "JobFinished":
                delivery = await subscription.next()
                await delivery.ack()
                if delivery.event.name != "ProgressUpdated":
                    seen.append(delivery.event)
    assert [event.name for event in seen] == [
        "JobCreated",
        "JobAssigned",
        "JobQueued",
        "JobAssigned",
        "TranscodingEnded",
        "JobFinished",
    ]
    assert len({event.id for event in seen}) == len(seen)
    assert [event.sequence for event in seen] == sorted({event.sequence for event in seen})
    assert {event.subject for event in seen} == {job.name}
    finished = event_pb2.JobFinished.FromString(seen[-1].data)
    assert finished.move.state == job_pb2.JOB_STATE_COMPLETED
    assert finished.move.attempt == work.attempt
    assert finished.size_bytes == 500


async def test_what_hints_did_not_tell_the_sweep_finds(postgresql: PostgresqlServer):
    async with AsyncExitStack() as stack:
        pair = await _pair(stack, postgresql, "memory", "", sweep_interval_s=0.2)
        for broadcast in pair.broadcasts:
            broadcast.away = True  # type: ignore[attr-defined]
        engine = await pair.two.engine()
        job = await pair.one.job()
        await engine.probe()
        await engine.next_assignment()
        await pair.one.until_state(job.name, job_pb2.JOB_STATE_ASSIGNED)


async def test_progress_is_an_event_once_in_an_interval(pair: Pair):
    wanted = EventFilter(names=frozenset({"ProgressUpdated", "JobFinished"}))
    async with pair.bus.subscribe("progress", wanted) as subscription:
        engine = await pair.two.engine()
        await pair.one.job()
        await engine.probe()
        work = await engine.next_assignment()
        await engine.reply(work)
        for frames in (10, 11, 12):
            await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING, frames))
        pair.two.clock.advance(timedelta(seconds=5))
        await engine.beat(engine.report(work, session_pb.ATTEMPT_PHASE_ENCODING, 20))
        frames_told: list[int] = []
        async with asyncio.timeout(PATIENCE_S):
            while len(frames_told) < 2:
                delivery = await subscription.next()
                await delivery.ack()
                told = event_pb2.ProgressUpdated.FromString(delivery.event.data)
                frames_told.append(told.progress.frame_count)
        assert frames_told == [10, 20]


async def test_why_a_job_waits_counts_the_engines_of_every_replica(pair: Pair) -> None:
    await pair.two.engine(slots=1)
    busy = await pair.two.job()
    await pair.two.until_state(busy.name, job_pb2.JOB_STATE_ASSIGNED)
    waiting = await pair.one.job()
    assert waiting.wait_reason == "its slot is busy"
    listed = await pair.one.client.ListJobs(pb.ListJobsRequest(filter="state = PENDING"))
    assert [job.wait_reason for job in listed.jobs] == ["its slot is busy"]
    assert "its slot is busy" in (await pair.one.get(waiting.name)).wait_reason
