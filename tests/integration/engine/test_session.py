"""The engine's session against a real gRPC server that plays dispatch."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from distconv.core.attempt import AttemptPhase
from distconv.core.errors import PermissionDeniedError
from distconv.core.failure import Failure
from distconv.core.progress import JobProgress
from distconv.engine import wire
from distconv.engine.session import Session
from distconv.engine.work import AttemptReport, AttemptResult, LogLines, SealedResult, Speed
from distconv.rpc.auth import LocalAuthenticator
from distconv.rpc.server import Server, ServerSettings, Service, start_server
from distconv.v1 import engine_pb2
from distconv.v1 import engine_service_pb2 as pb
from distconv.v1 import engine_service_pb2_grpc as pb_grpc

RESULT = wire.sealed(
    AttemptResult(
        attempt="a",
        fencing_token=3,
        outcome=Failure(reason="STALLED", message="it stood still", retryable=True),
    )
)


class FakeSupervisor:
    """What the session asks of a supervisor, without runners."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.draining = False
        self.assigned: list[tuple[str, int]] = []
        self.refusal = ""
        self.stale: list[str] = []
        self.results: list[SealedResult] = []
        self.running: list[AttemptReport] = []
        self.logs: list[LogLines] = []
        self.cancelled: list[tuple[str, int]] = []
        self.settled = asyncio.Event()
        self.gives_back = False

    def assign(self, *, attempt, fencing_token, payload, dispatch_address, scratch_bytes) -> str:
        self.assigned.append((attempt, fencing_token))
        return self.refusal

    def cancel(self, attempt, fencing_token) -> None:
        self.cancelled.append((attempt, fencing_token))

    def drop_stale(self, attempts) -> None:
        self.stale.extend(attempts)

    def acknowledge(self, attempt, fencing_token) -> None:
        self.results = [r for r in self.results if r.attempt != attempt]
        self.settled.set()

    def reports(self) -> list[AttemptReport]:
        return self.running

    def unacknowledged(self) -> list[SealedResult]:
        return self.results

    def take_logs(self) -> list[LogLines]:
        logs, self.logs = self.logs, []
        return logs

    async def wait_acknowledged(self) -> None:
        while self.results:
            self.settled.clear()
            await self.settled.wait()

    async def shut_down(self) -> None:
        self.draining = True
        if self.gives_back:
            self.results.append(RESULT)


class FakeBenchmarker:
    """What the session asks of a benchmarker."""

    def __init__(self) -> None:
        self.requests: list[tuple[list[str], list[int]]] = []
        self.results: list[Speed] = []

    def request(self, codecs, heights) -> None:
        self.requests.append((list(codecs), list(heights)))

    def take_results(self) -> list[Speed]:
        taken, self.results = self.results, []
        return taken


class Dispatch(pb_grpc.EngineServiceServicer):
    """A server whose words the test chooses; `heard` is all that engines said."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[pb.EngineMessage] = asyncio.Queue()
        self.say: asyncio.Queue[pb.DispatchMessage | None] = asyncio.Queue()
        self.sessions = 0
        self.refuse: Exception | None = None
        self.lease_ms = 0

    async def Connect(self, request_iterator, context):  # noqa: N802
        if self.refuse is not None:
            raise self.refuse
        self.sessions += 1
        hello = await anext(request_iterator)
        self.heard.put_nowait(hello)
        settings = pb.SessionSettings()
        settings.heartbeat_interval.FromMilliseconds(50)
        if self.lease_ms:
            settings.lease_duration.FromMilliseconds(self.lease_ms)
        yield pb.DispatchMessage(
            welcome=pb.Welcome(
                engine="engines/e", session_id="s", settings=settings, stale_attempts=["old"]
            )
        )
        listening = asyncio.create_task(self._listen(request_iterator))
        try:
            while (message := await self.say.get()) is not None:
                yield message
        finally:
            listening.cancel()

    async def _listen(self, messages) -> None:
        async for message in messages:
            self.heard.put_nowait(message)

    async def hear(self, kind: str) -> pb.EngineMessage:
        async with asyncio.timeout(10):
            while True:
                message = await self.heard.get()
                if message.WhichOneof("message") == kind:
                    return message


async def serve(dispatch: Dispatch, bind: str = "127.0.0.1:0") -> Server:
    service = Service(
        name="distconv.v1.EngineService",
        authenticator=LocalAuthenticator(),
        register=lambda s: pb_grpc.add_EngineServiceServicer_to_server(dispatch, s),
    )
    return await start_server(ServerSettings(bind=bind), [service])


class World:
    def __init__(self, dispatch: Dispatch, supervisor: FakeSupervisor, server: Server) -> None:
        self.dispatch, self.supervisor, self.server = dispatch, supervisor, server
        self.benchmarker = FakeBenchmarker()
        self.addresses = [server.address]
        self.stop = asyncio.Event()
        self.ready: list[str] = []

    def session(self) -> Session:
        return Session(
            self.supervisor,  # type: ignore[arg-type]
            benchmarker=self.benchmarker,  # type: ignore[arg-type]
            addresses=self.addresses,
            describe=lambda: pb.Hello(engine_id="e", slot_count=1),
            measure=lambda: engine_pb2.EngineMetrics(cpu_fraction=0.5),
            on_ready=lambda engine, _: self.ready.append(engine),
            progress_interval_s=0.01,
            reconnect_s=(0.01, 0.05),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.session().run(self.stop))
        try:
            yield task
        finally:
            self.stop.set()
            self.supervisor.results.clear()
            self.supervisor.settled.set()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    dispatch = Dispatch()  # type: ignore[abstract]
    server = await serve(dispatch)
    yield World(dispatch, FakeSupervisor(), server)
    dispatch.say.put_nowait(None)
    await server.stop()


async def test_hello_names_what_still_runs_and_stale_attempts_are_dropped(world):
    world.supervisor.running = [
        AttemptReport(
            attempt="a",
            fencing_token=3,
            phase=AttemptPhase.ENCODING,
            progress=JobProgress(frame_count=9),
        )
    ]
    async with world.running():
        hello = (await world.dispatch.hear("hello")).hello
        beat = (await world.dispatch.hear("heartbeat")).heartbeat
    assert [(a.attempt, a.fencing_token) for a in hello.attempts] == [("a", 3)]
    assert beat.attempts[0].progress.frame_count == 9
    assert beat.metrics.cpu_fraction == 0.5
    assert world.supervisor.stale == ["old"]
    assert world.ready == ["engines/e"]


@pytest.mark.parametrize("refusal", ["", "all slots are busy"])
async def test_an_assignment_is_answered(world, refusal):
    world.supervisor.refusal = refusal
    work = pb.Assignment(attempt="a", fencing_token=3)
    work.probe.source.object = "objects/x"
    async with world.running():
        await world.dispatch.hear("hello")
        world.dispatch.say.put_nowait(pb.DispatchMessage(assignment=work))
        reply = (await world.dispatch.hear("assignment_reply")).assignment_reply
    assert (reply.attempt, reply.fencing_token, reply.accepted) == ("a", 3, not refusal)
    assert reply.refusal == refusal


async def test_work_of_an_unknown_kind_is_refused_with_a_reason(world):
    async with world.running():
        await world.dispatch.hear("hello")
        world.dispatch.say.put_nowait(
            pb.DispatchMessage(assignment=pb.Assignment(attempt="a", fencing_token=3))
        )
        reply = (await world.dispatch.hear("assignment_reply")).assignment_reply
    assert not reply.accepted
    assert "does not know" in reply.refusal
    assert world.supervisor.assigned == []


async def test_a_result_is_told_again_until_it_is_acknowledged(world):
    async with world.running():
        await world.dispatch.hear("hello")
        world.supervisor.results.append(RESULT)
        world.supervisor.changed.set()
        for _ in range(3):
            told = (await world.dispatch.hear("attempt_result")).attempt_result
            assert told.failure.reason == "STALLED"
        ack = pb.ResultAck(attempt="a", fencing_token=3, accepted=True)
        world.dispatch.say.put_nowait(pb.DispatchMessage(result_ack=ack))
        async with asyncio.timeout(5):
            await world.supervisor.settled.wait()
    assert world.supervisor.results == []


async def test_cancel_and_stale_words_reach_the_supervisor(world):
    async with world.running():
        await world.dispatch.hear("hello")
        cancel = pb.CancelAttempt(attempt="a", fencing_token=3, reason="a user asked")
        world.dispatch.say.put_nowait(pb.DispatchMessage(cancel_attempt=cancel))
        ack = pb.HeartbeatAck(stale_attempts=["b"])
        world.dispatch.say.put_nowait(pb.DispatchMessage(heartbeat_ack=ack))
        await until(lambda: "b" in world.supervisor.stale, world)
    assert world.supervisor.cancelled == [("a", 3)]


async def until(condition: Callable[[], bool], world: World) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await world.dispatch.hear("heartbeat")


async def test_a_broken_session_is_opened_again(world):
    async with world.running():
        await world.dispatch.hear("hello")
        world.dispatch.say.put_nowait(None)
        await world.dispatch.hear("hello")
    assert world.dispatch.sessions == 2


async def test_a_revoked_engine_does_not_come_again(world):
    world.dispatch.refuse = PermissionDeniedError("this engine was revoked")
    with pytest.raises(PermissionDeniedError, match="revoked"):
        async with asyncio.timeout(10):
            await world.session().run(world.stop)


async def test_a_stopping_engine_waits_until_what_it_gives_back_is_known(world):
    world.supervisor.gives_back = True
    async with world.running() as task:
        await world.dispatch.hear("hello")
        world.stop.set()
        told = (await world.dispatch.hear("attempt_result")).attempt_result
        assert not task.done()
        ack = pb.ResultAck(attempt=told.attempt, fencing_token=told.fencing_token, accepted=True)
        world.dispatch.say.put_nowait(pb.DispatchMessage(result_ack=ack))
        async with asyncio.timeout(2):  # less than it would wait without the acknowledgement
            await task


async def test_logs_are_told_once(world):
    async with world.running():
        await world.dispatch.hear("hello")
        world.supervisor.logs.append(LogLines(attempt="a", lines=("x" * 5_000,)))
        world.supervisor.changed.set()
        excerpt = (await world.dispatch.hear("log_excerpt")).log_excerpt
    assert [len(line) for line in excerpt.lines] == [1_000]


@pytest.fixture
async def other() -> AsyncIterator[World]:
    """A second replica."""
    dispatch = Dispatch()  # type: ignore[abstract]
    server = await serve(dispatch)
    yield World(dispatch, FakeSupervisor(), server)
    dispatch.say.put_nowait(None)
    await server.stop()


async def test_a_draining_server_sends_the_engine_elsewhere_with_what_it_runs(world, other):
    world.supervisor.running = [
        AttemptReport(
            attempt="a", fencing_token=3, phase=AttemptPhase.ENCODING, progress=JobProgress()
        )
    ]
    world.supervisor.results.append(RESULT)
    async with world.running():
        await world.dispatch.hear("attempt_result")
        drain = pb.Drain(reason="upgrade", dispatch_addresses=[other.server.address])
        world.dispatch.say.put_nowait(pb.DispatchMessage(drain=drain))
        hello = (await other.dispatch.hear("hello")).hello
        # What the first did not acknowledge, the second is told.
        told = (await other.dispatch.hear("attempt_result")).attempt_result
    assert [a.attempt for a in hello.attempts] == ["a"]
    assert told.attempt == "a"
    assert world.dispatch.sessions == 1


async def test_a_drain_without_addresses_leaves_the_engine_where_it_is(world):
    async with world.running():
        await world.dispatch.hear("hello")
        world.dispatch.say.put_nowait(pb.DispatchMessage(drain=pb.Drain(reason="maintenance")))
        for _ in range(3):
            await world.dispatch.hear("heartbeat")
    assert world.dispatch.sessions == 1


async def test_a_refused_connection_is_followed_by_the_next_replica(world, other):
    await world.server.stop()
    world.addresses = [world.server.address, other.server.address]
    async with world.running():
        await other.dispatch.hear("hello")
    assert other.dispatch.sessions == 1


async def test_a_server_that_falls_silent_is_given_up_before_the_lease_ends(world):
    world.dispatch.lease_ms = 300
    async with world.running():
        await world.dispatch.hear("hello")
        await world.dispatch.hear("hello")
    assert world.dispatch.sessions >= 2


async def test_benchmarks_are_asked_for_and_reported(world):
    async with world.running():
        await world.dispatch.hear("hello")
        request = pb.BenchmarkRequest(codecs=["h264"], heights=[720])
        world.dispatch.say.put_nowait(pb.DispatchMessage(benchmark_request=request))
        await until(lambda: bool(world.benchmarker.requests), world)
        world.benchmarker.results.append(
            Speed(
                codec="h264",
                height=720,
                fps=61.5,
                build_id="b",
                measure_time=datetime(2026, 1, 2, tzinfo=UTC),
            )
        )
        world.supervisor.changed.set()
        [found] = (await world.dispatch.hear("benchmark_report")).benchmark_report.results
    assert world.benchmarker.requests == [(["h264"], [720])]
    assert (found.codec, found.height, found.fps, found.build_id) == ("h264", 720, 61.5, "b")
    assert found.measure_time.ToDatetime() == datetime(2026, 1, 2)  # noqa: DTZ001
