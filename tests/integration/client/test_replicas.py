"""The client against several servers that share their state, as replicas do."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio
import pytest

from distconv.client import Client, JobState
from distconv.client.replicas import Replicas, never_sent, parse_addresses
from distconv.client.testing import FakeSystem
from distconv.core.errors import InvalidArgumentError, UnavailableError


@pytest.fixture
async def other(fake: FakeSystem) -> AsyncIterator[FakeSystem]:
    """A second replica."""
    replica = FakeSystem()
    replica.state = fake.state
    async with replica:
        yield replica


@pytest.fixture
async def both(fake: FakeSystem, other: FakeSystem) -> AsyncIterator[Client]:
    async with Client([fake.address, other.address], reconnect=timedelta(seconds=10)) as client:
        yield client


async def test_a_call_goes_on_to_the_next_replica(
    fake: FakeSystem, both: Client, video: Path
) -> None:
    fake.state.held = True  # the job stays PENDING
    stored = await both.upload(video)
    await fake.stop()
    async with asyncio.timeout(10):
        job = await both.create_job(source=stored, profile="h264-720p")
        assert (await both.get_job(job.name)).name == job.name
        assert (await both.cancel_job(job.name)).state is JobState.CANCELLED


async def test_a_server_that_is_away_from_the_start_is_passed_over(
    fake: FakeSystem, both: Client
) -> None:
    await fake.stop()
    async with asyncio.timeout(10):
        assert (await both.server_info()).version


async def test_a_server_that_hangs_is_passed_over(fake: FakeSystem, other: FakeSystem) -> None:
    # The kernel takes connections for it, and nobody ever says a word.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        async with Client(f"{host}:{port},{other.address}") as client, asyncio.timeout(10):
            assert (await client.server_info(timeout_s=1.0)).version


async def test_a_watch_moves_to_another_replica_by_itself(
    fake: FakeSystem, both: Client, video: Path
) -> None:
    fake.state.held = True  # the job stays PENDING
    stored = await both.upload(video)
    job = await both.create_job(source=stored, profile="h264-720p")
    async with asyncio.timeout(10), aclosing(both.watch_job(job.name)) as snapshots:
        assert (await anext(snapshots)).name == job.name
        await fake.stop()
        moved = await anext(snapshots)
    assert moved.name == job.name


async def test_none_that_answers_is_reported(fake: FakeSystem, other: FakeSystem) -> None:
    async with Client(f"{fake.address},{other.address}") as client:
        await fake.stop()
        await other.stop()
        with pytest.raises(UnavailableError, match="no server answers"):
            async with asyncio.timeout(10):
                await client.server_info()


def test_addresses_are_separated_by_commas_and_named_once() -> None:
    assert parse_addresses(" a:1, b:2,a:1,") == ("a:1", "b:2")
    assert parse_addresses(["a:1", "b:2"]) == ("a:1", "b:2")
    with pytest.raises(InvalidArgumentError, match="no server is named"):
        parse_addresses(" , ")


def test_of_many_calls_that_fail_together_one_leaves() -> None:
    replicas = Replicas(["a:1", "b:2", "c:3"])
    replicas.leave("a:1")
    replicas.leave("a:1")
    assert replicas.current == "b:2"


async def test_a_refused_connection_is_known_to_have_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/x/Y")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
    assert never_sent(caught.value)
