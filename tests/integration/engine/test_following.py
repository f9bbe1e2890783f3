"""A source that is still being uploaded: read as it arrives, and judged by what becomes of it."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import grpc.aio
import pytest

from distconv.core.errors import UploadFailedError
from distconv.engine.source import StorageSource
from distconv.engine.storage_link import StorageLink
from distconv.rpc.tokens import MediaAction

from .conftest import Storage, Upload

MIB = 1024 * 1024
DATA = os.urandom(3 * MIB)


@asynccontextmanager
async def source_of(storage: Storage, upload: Upload) -> AsyncIterator[StorageSource]:
    link = StorageLink(storage.grant(MediaAction.READ, upload.object_id), patience_s=5)
    source = StorageSource(link, len(DATA))
    async with asyncio.timeout(30):
        yield source
    await source.close()
    await link.close()


async def test_reads_wait_for_what_has_not_arrived_and_the_wait_is_counted(storage: Storage):
    async with storage.upload(DATA) as upload, source_of(storage, upload) as source:
        await upload.send(2 * MIB, 3 * MIB)
        assert await source.read(2 * MIB, MIB) == DATA[2 * MIB :]
        before = source.waited
        waiting = asyncio.create_task(source.read(MIB - 5, 10))
        await upload.send(0, MIB)
        assert not waiting.done()
        await upload.send(MIB, 2 * MIB)
        assert await waiting == DATA[MIB - 5 : MIB + 5]
        assert source.waited > before
        settled = asyncio.create_task(source.settle())
        await upload.complete()
        assert await settled == hashlib.sha256(DATA).hexdigest()


async def test_a_source_that_is_whole_is_settled_and_nothing_was_waited_for(storage: Storage):
    async with storage.upload(DATA) as upload:
        await upload.send(0, len(DATA))
        await upload.complete()
        async with source_of(storage, upload) as source:
            assert await source.read(0, 10) == DATA[:10]
            assert await source.settle() == hashlib.sha256(DATA).hexdigest()
            assert source.waited == timedelta(0)


async def test_an_upload_that_is_given_up_ends_the_reads_that_wait(storage: Storage):
    async with storage.upload(DATA) as upload, source_of(storage, upload) as source:
        waiting = asyncio.create_task(source.read(0, 10))
        await upload.send(MIB, 2 * MIB)
        await upload.abort()
        with pytest.raises(UploadFailedError, match="given up"):
            await waiting


async def test_an_upload_that_proves_corrupt_does_not_settle(storage: Storage):
    async with storage.upload(DATA) as upload, source_of(storage, upload) as source:
        await upload.send(0, len(DATA))
        assert await source.read(0, len(DATA)) == DATA
        settled = asyncio.create_task(source.settle())
        with pytest.raises(grpc.aio.AioRpcError):
            await upload.complete(sha256="0" * 64)
        with pytest.raises(UploadFailedError, match="not what was sent"):
            await settled


async def test_nothing_more_is_read_of_an_upload_that_proved_corrupt(storage: Storage):
    async with storage.upload(DATA) as upload, source_of(storage, upload) as source:
        await upload.send(0, len(DATA))
        assert await source.read(0, MIB) == DATA[:MIB]
        with pytest.raises(grpc.aio.AioRpcError):
            await upload.complete(sha256="0" * 64)
        with pytest.raises(UploadFailedError):
            await source.read(MIB, MIB)


async def test_a_source_does_not_settle_on_another_upload_than_was_read(storage: Storage):
    async with storage.upload(DATA) as upload, source_of(storage, upload) as source:
        await upload.send(0, len(DATA))
        assert await source.read(0, MIB) == DATA[:MIB]
        with pytest.raises(grpc.aio.AioRpcError):
            await upload.complete(sha256="0" * 64)
        await upload.open()
        await upload.send(0, len(DATA))
        await upload.complete()
        with pytest.raises(UploadFailedError, match="another has taken its place"):
            await source.settle()
        with pytest.raises(UploadFailedError):
            await source.read(MIB, MIB)
