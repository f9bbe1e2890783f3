"""A real server and a real channel: who asks, what errors become, where it listens."""

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc

from distconv.core.errors import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from distconv.rpc.auth import Principal, principal
from distconv.rpc.channel import open_channel
from distconv.rpc.errors import translated
from distconv.rpc.server import ServerSettings, Service, start_server
from distconv.v1 import dispatch_service_pb2 as pb
from distconv.v1 import dispatch_service_pb2_grpc as pb_grpc


class Demanding:
    """An authenticator that wants a word."""

    def authenticate(self, metadata: dict[str, str]) -> Principal:
        if metadata.get("word") != "please":
            raise UnauthenticatedError("say please")
        return Principal(tenant="t", user="u")


class Servicer(pb_grpc.DispatchServiceServicer):
    async def GetServerInfo(self, request, context):  # noqa: N802
        return pb.GetServerInfoResponse(version=principal().tenant)

    async def GetJob(self, request, context):  # noqa: N802
        if request.name == "jobs/none":
            raise NotFoundError("there is no such job", metadata={"job": request.name})
        raise RuntimeError("secret /etc/passwd")

    async def WatchJob(self, request, context):  # noqa: N802
        yield pb.WatchJobResponse()
        raise NotFoundError("it went away")


@pytest.fixture
async def stub() -> AsyncIterator["pb_grpc.DispatchServiceAsyncStub"]:
    service = Service(
        name="distconv.v1.DispatchService",
        authenticator=Demanding(),
        register=lambda s: pb_grpc.add_DispatchServiceServicer_to_server(Servicer(), s),  # type: ignore[abstract]
    )
    server = await start_server(ServerSettings(bind="127.0.0.1:0", reflection=True), [service])
    async with open_channel(server.address) as channel:
        yield pb_grpc.DispatchServiceStub(channel)
    await server.stop()


PLEASE = (("word", "please"),)


async def test_the_principal_reaches_the_method(stub):
    answer = await stub.GetServerInfo(pb.GetServerInfoRequest(), metadata=PLEASE)
    assert answer.version == "t"


async def test_a_call_without_credentials_is_refused(stub):
    with pytest.raises(UnauthenticatedError, match="say please"), translated():
        await stub.GetServerInfo(pb.GetServerInfoRequest())


async def test_a_stream_without_credentials_is_refused(stub):
    with pytest.raises(UnauthenticatedError), translated():
        async for _ in stub.WatchJob(pb.WatchJobRequest()):
            pass


async def test_an_error_of_the_tree_arrives_as_itself(stub):
    with pytest.raises(NotFoundError, match="no such job") as caught, translated():
        await stub.GetJob(pb.GetJobRequest(name="jobs/none"), metadata=PLEASE)
    assert caught.value.metadata == {"job": "jobs/none"}


async def test_an_unforeseen_error_shows_an_incident_and_nothing_else(stub):
    with (
        structlog.testing.capture_logs() as logs,
        pytest.raises(InternalError) as caught,
        translated(),
    ):
        await stub.GetJob(pb.GetJobRequest(name="jobs/x"), metadata=PLEASE)
    assert "passwd" not in caught.value.message
    assert [entry["incident"] for entry in logs] == [caught.value.metadata["incident"]]


async def test_a_stream_ends_with_its_error_after_what_came_before(stub):
    call = stub.WatchJob(pb.WatchJobRequest(), metadata=PLEASE)
    assert isinstance(await call.read(), pb.WatchJobResponse)
    with pytest.raises(NotFoundError), translated():
        await call.read()


async def test_health_asks_for_no_credentials():
    server = await start_server(ServerSettings(bind="127.0.0.1:0"), [])
    async with grpc.aio.insecure_channel(server.address) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    await server.stop()


async def test_a_taken_port_is_named():
    first = await start_server(ServerSettings(bind="127.0.0.1:0"), [])
    with pytest.raises(UnavailableError, match=first.address):
        await start_server(ServerSettings(bind=first.address), [])
    await first.stop()


@pytest.mark.parametrize("bind", ["0.0.0.0:7400", "example.org:80", "[::]:1", "nonsense", ":1"])
async def test_it_listens_on_this_machine_only(bind):
    with pytest.raises(InvalidArgumentError):
        await start_server(ServerSettings(bind=bind), [])


@pytest.mark.parametrize("address", ["", "host", "host:", ":1", "host:0", "host:99999", "host:x"])
async def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(InvalidArgumentError, match="host:port"):
        open_channel(address)


async def test_nobody_listening_says_what_to_do():
    async with open_channel("127.0.0.1:1") as channel:
        stub = pb_grpc.DispatchServiceStub(channel)
        with pytest.raises(UnavailableError, match="dcctl up"), translated("127.0.0.1:1"):
            await stub.CreateJob(pb.CreateJobRequest(), timeout=5)
