"""A real dispatch server on an ephemeral port, a clock to turn by hand, and scripted engines."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from distconv.core.ids import new_id
from distconv.core.profiles import load_catalogue
from distconv.dispatch.app import Dispatch
from distconv.dispatch.circuit import LOOK_INTERVAL
from distconv.dispatch.settings import DispatchSettings
from distconv.dispatch.store.sql import SqlStore
from distconv.dispatch.testing import FakeObjects, ManualClock
from distconv.events.port import Broadcast, EventBus
from distconv.rpc.channel import open_channel
from distconv.rpc.server import ServerSettings, start_server
from distconv.rpc.tokens import KEY_BYTES, MediaTokens
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import engine_pb2, job_pb2, media_pb2, profile_pb2
from distconv.v1 import engine_service_pb2 as session_pb
from distconv.v1.dispatch_service_pb2_grpc import DispatchServiceStub
from distconv.v1.engine_service_pb2_grpc import EngineServiceStub

PATIENCE_S = 10.0
SOURCE_BYTES = 1000
SHA = "ab" * 32

ENCODERS = ("libx264", "libx265", "libsvtav1", "libvpx-vp9", "aac", "libopus")
MUXERS = ("mp4", "matroska", "webm")


def media_info() -> media_pb2.MediaInfo:
    return media_pb2.MediaInfo(
        container="matroska",
        size_bytes=SOURCE_BYTES,
        duration_s=2.0,
        bit_rate=4000,
        streams=[
            media_pb2.StreamInfo(
                index=0,
                kind=media_pb2.STREAM_KIND_VIDEO,
                codec="h264",
                width=640,
                height=360,
                pixel_format="yuv420p",
                frame_rate="25/1",
                sample_aspect_ratio="1:1",
                field_order="progressive",
            )
        ],
    )


def census(read_bytes: int) -> media_pb2.MediaCensus:
    return media_pb2.MediaCensus(
        container="matroska",
        read_bytes=read_bytes,
        complete=True,
        streams=[
            media_pb2.StreamCensus(
                index=0,
                kind=media_pb2.STREAM_KIND_VIDEO,
                codec="h264",
                packet_count=50,
                packet_bytes=900,
                first_time_s=0.0,
                end_time_s=2.0,
            )
        ],
    )


class Engine:
    """An engine that says what the test tells it to."""

    def __init__(self, address: str, engine_id: str) -> None:
        self.id = engine_id
        self.name = f"engines/{engine_id}"
        self._channel = open_channel(address)
        self._call = EngineServiceStub(self._channel).Connect()
        self._heard: list[session_pb.DispatchMessage] = []

    async def hello(
        self,
        *,
        slots: int = 1,
        encoders: Sequence[str] = ENCODERS,
        attempts: Sequence[session_pb.AttemptReport] = (),
        scratch_bytes: int = 0,
    ) -> session_pb.Welcome:
        hello = session_pb.Hello(
            engine_id=self.id,
            display_name=f"box-{self.id[-3:]}",
            version="0.1.0",
            slot_count=slots,
            attempts=attempts,
            capabilities=engine_pb2.EngineCapabilities(
                transcoders=[
                    engine_pb2.TranscoderInfo(
                        name="ffmpeg", version="9", encoders=encoders, muxers=MUXERS
                    )
                ],
                scratch_bytes=scratch_bytes,
            ),
        )
        await self.say(session_pb.EngineMessage(hello=hello))
        return (await self.hear("welcome")).welcome

    async def say(self, message: session_pb.EngineMessage) -> None:
        await self._call.write(message)

    async def hear(self, kind: str) -> session_pb.DispatchMessage:
        """Return the next message of a kind; those of other kinds are kept for later."""
        for k, message in enumerate(self._heard):
            if message.WhichOneof("message") == kind:
                return self._heard.pop(k)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                heard: object = await self._call.read()
                assert isinstance(heard, session_pb.DispatchMessage), "the session is over"
                if heard.WhichOneof("message") == kind:
                    return heard
                self._heard.append(heard)

    async def next_assignment(self) -> session_pb.Assignment:
        return (await self.hear("assignment")).assignment

    async def reply(
        self, assignment: session_pb.Assignment, *, accepted: bool = True, refusal: str = ""
    ) -> None:
        await self.say(
            session_pb.EngineMessage(
                assignment_reply=session_pb.AssignmentReply(
                    attempt=assignment.attempt,
                    fencing_token=assignment.fencing_token,
                    accepted=accepted,
                    refusal=refusal,
                )
            )
        )

    async def beat(
        self, *reports: session_pb.AttemptReport, draining: bool = False
    ) -> session_pb.HeartbeatAck:
        beat = session_pb.Heartbeat(attempts=reports, draining=draining)
        await self.say(session_pb.EngineMessage(heartbeat=beat))
        return (await self.hear("heartbeat_ack")).heartbeat_ack

    def report(
        self,
        assignment: session_pb.Assignment,
        phase: session_pb.AttemptPhase.ValueType = session_pb.ATTEMPT_PHASE_STARTING,
        frames: int = 0,
    ) -> session_pb.AttemptReport:
        return session_pb.AttemptReport(
            attempt=assignment.attempt,
            fencing_token=assignment.fencing_token,
            phase=phase,
            progress=job_pb2.JobProgress(frame_count=frames, fraction=frames / 50),
        )

    async def tell(self, result: session_pb.AttemptResult) -> session_pb.ResultAck:
        await self.say(session_pb.EngineMessage(attempt_result=result))
        return (await self.hear("result_ack")).result_ack

    def probed(self, assignment: session_pb.Assignment) -> session_pb.AttemptResult:
        return session_pb.AttemptResult(
            attempt=assignment.attempt,
            fencing_token=assignment.fencing_token,
            probe=session_pb.ProbeOutcome(media=media_info()),
        )

    def transcoded(self, assignment: session_pb.Assignment) -> session_pb.AttemptResult:
        return session_pb.AttemptResult(
            attempt=assignment.attempt,
            fencing_token=assignment.fencing_token,
            transcode=session_pb.TranscodeOutcome(
                object=assignment.transcode.sink.object,
                size_bytes=500,
                sha256=SHA,
                source_census=census(SOURCE_BYTES),
                output_census=census(500),
                media=media_info(),
                frame_count=50,
            ),
        )

    def failed(
        self, assignment: session_pb.Assignment, *, retryable: bool, reason: str = "ENCODE_FAILED"
    ) -> session_pb.AttemptResult:
        return session_pb.AttemptResult(
            attempt=assignment.attempt,
            fencing_token=assignment.fencing_token,
            failure=job_pb2.Failure(reason=reason, message="it broke", retryable=retryable),
        )

    def outcome(self, assignment: session_pb.Assignment, kind: str) -> session_pb.AttemptResult:
        """Make a `returned` or `cancelled` result."""
        result = session_pb.AttemptResult(
            attempt=assignment.attempt, fencing_token=assignment.fencing_token
        )
        if kind == "returned":
            result.returned.reason = "shutting down"
        else:
            result.cancelled.SetInParent()
        return result

    async def probe(self) -> None:
        """Do the next assignment, a probe."""
        assignment = await self.next_assignment()
        assert assignment.HasField("probe")
        await self.reply(assignment)
        assert (await self.tell(self.probed(assignment))).accepted

    async def code(self) -> grpc.StatusCode:
        """Wait until dispatch ends the session; return how."""
        async with asyncio.timeout(PATIENCE_S):
            return await self._call.code()

    async def vanish(self) -> None:
        """Break the session off."""
        self._call.cancel()
        await self._channel.close()


class Farm:
    """A dispatch server with what a test needs around it."""

    def __init__(
        self,
        dispatch: Dispatch,
        store: SqlStore,
        objects: FakeObjects,
        clock: ManualClock,
        address: str,
        channel: grpc.aio.Channel,
    ) -> None:
        self.dispatch = dispatch
        self.store = store
        self.objects = objects
        self.clock = clock
        self.address = address
        self.client = DispatchServiceStub(channel)
        self._engines: list[Engine] = []
        self._ids = 0

    def new_id(self) -> str:
        self._ids += 1
        return new_id(self.clock.now(), randomness=self._ids)

    def source(self, *, committed: bool = True, size_bytes: int = SOURCE_BYTES) -> str:
        """Put a source into storage; return its name."""
        object_id = self.new_id()
        self.objects.put(object_id, size_bytes=size_bytes, sha256=SHA, committed=committed)
        return f"objects/{object_id}"

    async def engine(
        self,
        engine_id: str = "",
        *,
        slots: int = 1,
        encoders: Sequence[str] = ENCODERS,
        attempts: Sequence[session_pb.AttemptReport] = (),
        scratch_bytes: int = 0,
    ) -> Engine:
        """Connect an engine that has said Hello."""
        engine = self.stranger(engine_id)
        await engine.hello(
            slots=slots, encoders=encoders, attempts=attempts, scratch_bytes=scratch_bytes
        )
        return engine

    def stranger(self, engine_id: str = "") -> Engine:
        """Connect an engine that has not said anything yet."""
        engine = Engine(self.address, engine_id or self.new_id())
        self._engines.append(engine)
        return engine

    def request(
        self, *, source: str = "", profile: str = "profiles/h264-720p", **more: object
    ) -> pb.CreateJobRequest:
        container = profile_pb2.CONTAINER_UNSPECIFIED
        job = job_pb2.Job(
            source=job_pb2.JobSource(object=source or self.source(), file_name="clip.mkv"),
            profile=profile,
        )
        for name, value in more.items():
            setattr(job, name, value)
        return pb.CreateJobRequest(job=job, container=container)

    async def job(self, **more: Any) -> job_pb2.Job:
        """Create a job."""
        return (await self.client.CreateJob(self.request(**more))).job

    async def get(self, name: str) -> job_pb2.Job:
        return (await self.client.GetJob(pb.GetJobRequest(name=name))).job

    async def tasks(self, name: str) -> Sequence[job_pb2.Task]:
        return (await self.client.ListTasks(pb.ListTasksRequest(parent=name))).tasks

    async def until(self, name: str, holds: Callable[[job_pb2.Job], bool]) -> job_pb2.Job:
        """Watch a job until it is as wanted."""
        async with asyncio.timeout(PATIENCE_S):
            async for response in self.client.WatchJob(pb.WatchJobRequest(name=name)):
                if holds(response.job):
                    return response.job
        raise AssertionError("the watch ended")

    async def until_state(self, name: str, state: job_pb2.JobState.ValueType) -> job_pb2.Job:
        return await self.until(name, lambda job: job.state == state)

    def store_output(self, assignment: session_pb.Assignment, *, sha256: str = SHA) -> str:
        """Put what a transcode was to write into storage; return the object's id."""
        object_id = assignment.transcode.sink.object.removeprefix("objects/")
        self.objects.put(object_id, size_bytes=500, sha256=sha256)
        return object_id

    async def until_deleted(self, object_id: str) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while object_id not in self.objects.deleted:
                self.objects.changed.clear()
                await self.objects.changed.wait()

    async def pass_time(self, **span: float) -> None:
        """Turn the clock on and let the duties see it.

        A process for which it passes in one leap stood still, and concludes nothing.
        """
        left = timedelta(**span)
        while left > timedelta(0):
            step = min(left, LOOK_INTERVAL)
            self.clock.advance(step)
            self.dispatch.circuit.look()
            left -= step
        self.dispatch.signals.wake_all()

    async def close(self) -> None:
        for engine in self._engines:
            await engine.vanish()


@asynccontextmanager
async def open_farm(folder: Path, **settings: Any) -> AsyncIterator[Farm]:
    store = await SqlStore.open_sqlite(folder / "dispatch.db")
    async with open_replica(store, ManualClock(), FakeObjects(), **settings) as farm:
        yield farm


@asynccontextmanager
async def open_replica(
    store: SqlStore,
    clock: ManualClock,
    objects: FakeObjects,
    *,
    bus: EventBus | None = None,
    broadcast: Broadcast | None = None,
    **settings: Any,
) -> AsyncIterator[Farm]:
    """Open one dispatch on a store of its own, whose database others may share; it is closed."""
    tokens = MediaTokens(b"k" * KEY_BYTES, clock)
    dispatch = Dispatch(
        DispatchSettings.model_validate({"progress_interval_s": 0.01, **settings}),
        store=store,
        objects=objects,
        tokens=tokens,
        catalogue=load_catalogue(),
        clock=clock,
        bus=bus,
        broadcast=broadcast,
    )
    try:
        async with dispatch.running():
            server = await start_server(
                ServerSettings(bind="127.0.0.1:0", drain_grace=timedelta(0)), dispatch.services
            )
            async with open_channel(server.address) as channel:
                farm = Farm(dispatch, store, objects, clock, server.address, channel)
                try:
                    yield farm
                finally:
                    await farm.close()
                    dispatch.drain()
                    await server.stop()
    finally:
        await store.close()


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    async with open_farm(tmp_path) as opened:
        yield opened
