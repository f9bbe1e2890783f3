"""Events through the contract, the SDK and dcctl."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from distconv.client import Client
from distconv.core.errors import InvalidArgumentError, NotFoundError, UnavailableError
from distconv.core.progress import JobProgress
from distconv.dispatch.events.wire import progress_event
from distconv.v1 import dispatch_service_pb2 as pb

from .conftest import PATIENCE_S, Farm


@pytest.fixture
async def client(farm: Farm) -> AsyncIterator[Client]:
    async with Client(farm.address) as opened:
        yield opened


async def bury(farm: Farm, count: int) -> None:
    for k in range(count):
        event = progress_event(
            "0000000000000001", "local", JobProgress(frame_count=k), event_id=f"e{k}",
            time=farm.clock.now(),
        )  # fmt: skip
        await farm.dispatch.bus.dead_letters.bury(
            event, subscription="billing", reason="no account", delivery_count=5
        )


async def test_events_are_followed(farm: Farm, client: Client):
    async with asyncio.timeout(PATIENCE_S), aclosing(client.watch_events()) as events:
        assert await anext(events) is None
        engine = await farm.engine()
        online = await anext(events)
        assert online is not None
        assert (online.type, online.subject) == ("EngineOnline", engine.name)
        job = await farm.job()
        created = await anext(events)
        assert created is not None
        assert (created.type, created.subject, created.sequence) == ("JobCreated", job.name, 1)
        assert created.data["file_name"] == "clip.mkv"
        assert created.data["move"]["state"] == "JOB_STATE_PENDING"


async def test_events_are_followed_by_type_and_subject(farm: Farm, client: Client):
    async with asyncio.timeout(PATIENCE_S):
        first, second = await farm.job(), await farm.job()
        async with aclosing(
            client.watch_events(types=["distconv.v1.JobFinished"], subject=second.name)
        ) as events:
            assert await anext(events) is None
            for job in (first, second):
                await farm.client.CancelJob(pb.CancelJobRequest(name=job.name))
            finished = await anext(events)
            assert finished is not None
            assert (finished.type, finished.subject) == ("JobFinished", second.name)


async def test_events_of_another_tenant_are_not_told(farm: Farm):
    async with (
        asyncio.timeout(PATIENCE_S),
        Client(farm.address, tenant="other") as other,
        aclosing(other.watch_events()) as events,
    ):
        assert await anext(events) is None
        await farm.job()
        engine = await farm.engine()
        told = await anext(events)
        assert told is not None
        assert told.subject == engine.name


async def test_what_cannot_be_watched_is_refused(client: Client):
    for wrong in (
        {"types": ["no such"]},
        {"types": ["JobDone"]},
        {"subject": "profiles/a"},
        {"subject": "jobs/1"},
    ):
        with pytest.raises(InvalidArgumentError):
            await anext(client.watch_events(**wrong))


async def test_a_shutdown_ends_a_watch(farm: Farm, client: Client):
    async with asyncio.timeout(PATIENCE_S), aclosing(client.watch_events()) as events:
        assert await anext(events) is None
        farm.dispatch.drain()
        with pytest.raises(UnavailableError, match="shutting down"):
            await anext(events)


async def test_dead_letters_are_listed_shown_replayed_and_discarded(farm: Farm, client: Client):
    await bury(farm, 5)
    letters = [letter async for letter in client.list_dead_letters(page_size=2)]
    assert [letter.event.data["progress"].get("frame_count", "0") for letter in letters] == list(
        "01234"
    )
    assert await client.get_dead_letter(letters[1].id) == letters[1]
    assert (letters[1].subscription, letters[1].reason) == ("billing", "no account")
    async with farm.dispatch.bus.subscribe("billing") as subscription:
        await client.replay_dead_letter(letters[0].name)
        async with asyncio.timeout(PATIENCE_S):
            assert (await subscription.next()).event.id == "e0"
    await client.discard_dead_letter(letters[1].name)
    assert [letter.name async for letter in client.list_dead_letters()] == [
        letter.name for letter in letters[2:]
    ]
    for call in (
        client.get_dead_letter,
        client.replay_dead_letter,
        client.discard_dead_letter,
    ):
        with pytest.raises(NotFoundError):
            await call(letters[0].name)
        with pytest.raises(InvalidArgumentError):
            await call("deadLetters/x")


async def dcctl(farm: Farm, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "distconv.client.cli.main",
        *arguments, "--server", farm.address,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_dcctl_deals_with_dead_letters(farm: Farm):
    await bury(farm, 3)
    table = await dcctl(farm, "events", "dead", "list")
    assert "no account" in table
    assert table.count("ProgressUpdated") == 3
    assert "billing" in await dcctl(farm, "events", "dead", "show", "2")
    assert "replayed 1" in await dcctl(farm, "events", "dead", "replay", "1", "2")
    assert "discarded 3" in await dcctl(farm, "events", "dead", "discard", "3")
    assert not await farm.dispatch.bus.dead_letters.list()


@pytest.mark.parametrize("as_json", [False, True])
async def test_dcctl_follows_events(farm: Farm, *, as_json: bool):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "distconv.client.cli.main",
        "events", "watch", "--server", farm.address, "--type", "JobCreated",
        *(["--json"] if as_json else []),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert b"following events" in await process.stderr.readline()
            job = await farm.job()
            line = (await process.stdout.readline()).decode()
        if as_json:
            told = json.loads(line)
            assert (told["type"], told["subject"]) == ("JobCreated", job.name)
        else:
            assert "JobCreated" in line
            assert job.name in line
    finally:
        process.terminate()
        await process.communicate()
