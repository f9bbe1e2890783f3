"""Named storage pools: chosen by tenant or by the token, each as full as it is."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from distconv.core.clock import Clock
from distconv.core.errors import (
    FailedPreconditionError,
    NotFoundError,
    QuotaExceededError,
    UnavailableError,
)
from distconv.core.profile import Container
from distconv.rpc.channel import bearer_metadata
from distconv.rpc.errors import translated
from distconv.rpc.tokens import MediaAction
from distconv.storage.names import Place
from distconv.storage.settings import StorageSettings
from distconv.storage.testing import (
    OBJECT_ID,
    Caller,
    FakeFinisher,
    RunningStorage,
    SteppedClock,
    cut,
    finished_content,
    running_storage,
)
from distconv.v1 import object_pb2, profile_pb2
from distconv.v1 import storage_service_pb2 as pb

CONTENT = os.urandom(300_000)
CAPACITY = 500_000


@asynccontextmanager
async def _running(
    tmp_path: Path, finisher: FakeFinisher | None = None, clock: Clock | None = None
) -> AsyncIterator[RunningStorage]:
    async with running_storage(
        tmp_path / "main",
        finisher=finisher,
        clock=clock,
        pools=[f"fast={tmp_path / 'fast'}"],
        pool_capacities=[f"fast={CAPACITY}"],
        tenant_pools=["acme=fast"],
    ) as storage:
        yield storage


def _bytes_of(folder: Path) -> list[str]:
    return sorted(
        p.parent.name for p in folder.rglob("*") if p.is_file() and p.stat().st_size > 100_000
    )


async def _pools(caller: Caller) -> dict[str, pb.StoragePool]:
    token = caller.token(MediaAction.LIST, "")
    with translated():
        answer = await caller.stub.ListPools(pb.ListPoolsRequest(), metadata=token)
    return {pool.name: pool for pool in answer.pools}


async def test_a_tenants_objects_lie_in_its_pool(tmp_path: Path) -> None:
    async with _running(tmp_path) as storage, storage.caller(tenant="acme") as caller:
        upload = await caller.create(len(CONTENT))
        assert upload.name.endswith("@fast")
        await caller.write(upload, cut(CONTENT[:131_072]))
        assert _bytes_of(tmp_path / "main") == []
    # It goes on after a restart, and the object is read from there.
    async with _running(tmp_path) as storage, storage.caller(tenant="acme") as caller:
        assert (await caller.get_upload(upload)).received
        await caller.write(upload, cut(CONTENT))
        stored = (await caller.complete(upload, CONTENT)).object
        assert stored.pool == "fast"
        assert await caller.read() == [CONTENT]
        assert _bytes_of(tmp_path / "main") == []
        assert _bytes_of(tmp_path / "fast") == ["data"]
        await storage.app.uploads.delete_object(Place(tenant="acme", object_id=OBJECT_ID))
        assert _bytes_of(tmp_path / "fast") == []
        with pytest.raises(NotFoundError):
            await caller.read()


async def test_a_token_names_the_pool_of_an_output(tmp_path: Path) -> None:
    finisher = FakeFinisher()
    finisher.gate.set()
    async with _running(tmp_path, finisher) as storage, storage.caller() as caller:
        token, _ = storage.tokens.sign(
            tenant="local",
            subject="attempt",
            object_id=OBJECT_ID,
            action=MediaAction.WRITE,
            ttl=timedelta(minutes=1),
            pool="fast",
        )
        request = pb.CreateUploadRequest(
            object=f"objects/{OBJECT_ID}",
            finish=object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MKV),
        )
        with translated():
            answer = await caller.stub.CreateUpload(request, metadata=bearer_metadata(token))
        await caller.write(answer.upload, cut(CONTENT))
        stored = (await caller.complete(answer.upload, CONTENT)).object
        assert stored.pool == "fast"
        # It was finished in the main pool's scratch folder, and lies where it should.
        assert await caller.read() == [finished_content(CONTENT, Container.MKV)]
        assert _bytes_of(tmp_path / "main") == []
        assert _bytes_of(tmp_path / "fast") == ["data"]


async def test_a_pool_that_is_full_refuses_and_others_do_not(tmp_path: Path) -> None:
    async with (
        _running(tmp_path) as storage,
        storage.caller(tenant="acme") as caller,
        storage.caller(tenant="other") as other,
    ):
        await caller.put(CONTENT)
        await other.put(CONTENT)
        pools = await _pools(caller)
        assert list(pools) == ["main", "fast"]
        fast = pools["fast"]
        assert (fast.capacity_bytes, fast.used_bytes) == (CAPACITY, len(CONTENT))
        assert fast.free_bytes == CAPACITY - len(CONTENT)
        assert pools["main"].used_bytes == len(CONTENT)
        assert not pools["main"].HasField("capacity_bytes")
        with pytest.raises(QuotaExceededError, match="the storage pool 'fast' is 500000 bytes"):
            await caller.create(200_001, object_id="0other")
        assert [o.name for o in await _listed(caller)] == [f"objects/{OBJECT_ID}"]
        await other.create(200_001, object_id="0other")


async def test_a_pool_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with _running(tmp_path) as storage, storage.caller() as caller:
        token, _ = storage.tokens.sign(
            tenant="local",
            subject="attempt",
            object_id=OBJECT_ID,
            action=MediaAction.WRITE,
            ttl=timedelta(minutes=1),
            pool="slow",
        )
        request = pb.CreateUploadRequest(object=f"objects/{OBJECT_ID}")
        with pytest.raises(FailedPreconditionError, match="no storage pool 'slow'"), translated():
            await caller.stub.CreateUpload(request, metadata=bearer_metadata(token))
        assert await _listed(caller) == []


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"pools": ["Fast=/x"]}, "no name for a storage pool"),
        ({"pools": ["fast"]}, "'fast' is not NAME=FOLDER or NAME=s3://BUCKET/PREFIX"),
        ({"pools": ["fast="]}, "'fast=' is not NAME=FOLDER or NAME=s3://BUCKET/PREFIX"),
        ({"pools": '["fast=/x"]'}, "without brackets and quotes, its items separated by commas"),
        ({"pools": ["main=/x"]}, "the main pool is in data_dir or at bucket_url"),
        ({"tenant_pools": ["acme=fast"]}, "'fast' in tenant_pools is not one of the pools: main"),
        ({"tenant_pools": ["acme"]}, "is not TENANT=POOL"),
        ({"pool_capacities": ["fast=1"]}, "'fast' in pool_capacities is not one of the pools"),
        ({"pool_capacities": ["main=x"]}, "is not NAME=BYTES"),
        ({"tenant_quotas": ["acme"]}, "is not TENANT=BYTES"),
        ({"bucket_url": "s3:/media"}, "'s3:/media' is no bucket: write s3://BUCKET/PREFIX"),
        ({"bucket_endpoint": "minio:9000"}, "'minio:9000' is not http"),
        ({"pools": ["fast=/x"], "bucket_url": "s3://bucket"}, "give the pool a bucket, too"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        StorageSettings.model_validate(settings)


async def _listed(caller: Caller) -> list[object_pb2.Object]:
    token = caller.token(MediaAction.LIST, "")
    with translated():
        page = await caller.stub.ListObjects(pb.ListObjectsRequest(), metadata=token)
    return list(page.objects)


async def test_a_disk_that_is_not_mounted_costs_nothing(tmp_path: Path) -> None:
    async with _running(tmp_path) as storage, storage.caller(tenant="acme") as caller:
        await caller.put(CONTENT)
        upload = await caller.create(150_000, object_id="0second")
        await caller.write(upload, cut(CONTENT[:131_072]))
        received = list((await caller.get_upload(upload)).received)
    for name in ("main", "fast"):
        folder, away = tmp_path / name, tmp_path / f"{name}.away"
        folder.rename(away)
        folder.mkdir()
        with pytest.raises(
            FailedPreconditionError, match=r"is mounted .* then start storage again"
        ):
            async with _running(tmp_path):
                pass
        assert list(folder.iterdir()) == []
        folder.rmdir()
        away.rename(folder)
    async with _running(tmp_path) as storage, storage.caller(tenant="acme") as caller:
        assert await caller.read() == [CONTENT]
        assert list((await caller.get_upload(upload)).received) == received


async def test_what_is_left_over_in_a_pool_waits_for_the_collector(tmp_path: Path) -> None:
    async with _running(tmp_path) as storage, storage.caller(tenant="acme") as caller:
        await caller.put(CONTENT)
        await storage.app.provider.delete(f"acme/objects/{OBJECT_ID}")
    async with _running(tmp_path) as storage:
        assert len(_bytes_of(tmp_path / "fast")) == 1
        assert await storage.app.collector.collect("acme", dry_run=True) == []  # not old enough


async def test_a_folder_that_is_away_keeps_no_other_pool_from_its_order(tmp_path: Path) -> None:
    async with (
        _running(tmp_path) as storage,
        storage.caller(tenant="acme") as acme,
        storage.caller(tenant="other") as other,
    ):
        for caller in (acme, other):
            await caller.write(await caller.create(len(CONTENT)), cut(CONTENT))
    async with (
        _running(tmp_path, clock=SteppedClock()) as storage,  # days later
        storage.caller(tenant="acme") as acme,
    ):
        left_over = Place(tenant="other", object_id="0left").data_key("0123456789ab")
        await storage.app.provider.put(left_over, b"left over")
        (tmp_path / "fast").rename(tmp_path / "away")
        pools = await _pools(acme)
        assert pools["main"].free_bytes > 0
        assert not pools["main"].away_reason
        assert not pools["fast"].HasField("free_bytes")
        assert pools["fast"].capacity_bytes == CAPACITY
        assert "see that its disk is mounted" in pools["fast"].away_reason

        assert len(await storage.app.collector.collect("other", dry_run=True)) == 2
        await storage.app.uploads.sweep()
        assert _bytes_of(tmp_path / "main") == []
        assert len(await storage.app.collector.collect("other", dry_run=False)) == 1

        (tmp_path / "away").rename(tmp_path / "fast")
        assert len(_bytes_of(tmp_path / "fast")) == 1
        assert len(await storage.app.collector.collect("acme", dry_run=False)) == 1
        assert _bytes_of(tmp_path / "fast") == []
        assert not (await _pools(acme))["fast"].away_reason


async def test_without_the_main_pool_nothing_of_others_is_taken_for_left_over(
    tmp_path: Path,
) -> None:
    async with _running(tmp_path) as storage, storage.caller(tenant="acme") as caller:
        await caller.put(CONTENT)
    async with _running(tmp_path, clock=SteppedClock()) as storage:
        (tmp_path / "main").rename(tmp_path / "away")
        with pytest.raises(UnavailableError):
            await storage.app.collector.collect("acme", dry_run=False)
        assert _bytes_of(tmp_path / "fast") == ["data"]
        (tmp_path / "away").rename(tmp_path / "main")
