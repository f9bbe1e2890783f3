import asyncio
import hashlib
import os
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from obstore.store import MemoryStore

from distconv.core.errors import (
    AlreadyExistsError,
    DataLossError,
    InternalError,
    NotFoundError,
    UnavailableError,
    UnimplementedError,
)
from distconv.core.signed import SignedPut
from distconv.storage.providers.local import LocalProvider
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_connect import BucketOptions, connect
from distconv.storage.providers.object_store import ObjectStoreProvider
from distconv.storage.providers.pooled import PooledProvider
from distconv.storage.providers.port import Provider
from distconv.storage.threads import Threads
from servers import AzureServer, S3Server

# Of the pool `fast`, where there are pools; elsewhere it is a name as any.
KEY = "t1/data/0abc.89abcdef0123@fast"
COPY = "t1/data/0def.89abcdef0123@fast"
STAGING = "t1/data/0abc.0123456789ab@fast"
CONTENT = os.urandom(10_000)


# Pools: the main one, and that of the keys.
POOLS = ("folder+folder", "bucket+bucket", "folder+bucket")
SIGNING = ("s3", "azure", "bucket+bucket", "folder+bucket")


@pytest.fixture(params=["local", "memory", "s3", "azure", "obstore-memory", *POOLS])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def provider(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Provider]:
    threads = Threads(2)

    def s3(prefix: str) -> ObjectStoreProvider:
        server: S3Server = request.getfixturevalue("s3")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{server.new_bucket()}/{prefix}"
        return _on(connect(BucketOptions(url=url, endpoint=server.url)), tmp_path, threads)

    def azure(prefix: str) -> ObjectStoreProvider:
        server: AzureServer = request.getfixturevalue("azure")
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        url = f"az://{server.new_container()}/{prefix}"
        return _on(connect(BucketOptions(url=url, endpoint=server.url)), tmp_path, threads)

    adapter: Provider
    if kind == "local":
        adapter = LocalProvider(tmp_path / "root", threads)
    elif kind == "memory":
        adapter = MemoryProvider(tmp_path)
    elif kind == "s3":
        adapter = s3("some/prefix")
    elif kind == "azure":
        adapter = azure("some/prefix")
    elif kind in POOLS:
        main, fast = kind.split("+")
        adapter = PooledProvider(
            LocalProvider(tmp_path / "root", threads) if main == "folder" else s3("main"),
            {
                "fast": LocalProvider(tmp_path / "fast", threads)
                if fast == "folder"
                else s3("some/prefix")
            },
        )
    else:  # what the adapter does for Google Cloud Storage: all that is not on the wire
        bucket = Bucket(MemoryStore(), name="memory://", part_bytes=4096)
        adapter = _on(bucket, tmp_path, threads)
    await adapter.start()
    yield adapter
    await adapter.close()
    threads.close()


def _on(bucket: Bucket, tmp_path: Path, threads: Threads) -> ObjectStoreProvider:
    return ObjectStoreProvider(bucket, tmp_path / "scratch", threads)


async def _read(provider: Provider, key: str) -> bytes:
    reader = await provider.open(key)
    pieces = await reader.read(0, reader.size_bytes, piece_bytes=1000)
    await reader.close()
    return b"".join(pieces)


async def test_a_small_thing_comes_back_whole(provider: Provider) -> None:
    await provider.put(KEY, CONTENT)
    assert await provider.get(KEY) == CONTENT
    assert (await provider.stat(KEY)).size_bytes == len(CONTENT)
    await provider.put(KEY, b"other")
    assert await provider.get(KEY) == b"other"


async def test_nothing_is_not_found(provider: Provider) -> None:
    with pytest.raises(NotFoundError, match=KEY):
        await provider.get(KEY)
    with pytest.raises(NotFoundError):
        await provider.stat(KEY)
    with pytest.raises(NotFoundError):
        await provider.open(KEY)
    with pytest.raises(NotFoundError):
        await provider.copy(KEY, COPY)
    await provider.delete(KEY)


async def test_of_several_who_create_a_thing_one_wins(provider: Provider) -> None:
    async def create(number: int) -> bool:
        try:
            await provider.create(KEY, b"%d" % number)
        except AlreadyExistsError:
            return False
        return True

    done = await asyncio.gather(*map(create, range(5)))
    if provider.shared:
        assert sum(done) == 1
    assert await provider.get(KEY) in [b"%d" % number for number, won in enumerate(done) if won]
    with pytest.raises(AlreadyExistsError, match=KEY):
        await provider.create(KEY, b"late")
    await provider.delete(KEY)
    await provider.create(KEY, b"again")
    assert await provider.get(KEY) == b"again"


async def test_keys_are_listed_under_a_prefix_and_sorted(provider: Provider) -> None:
    names = ["t2/data/0a", "t1/data/0b", "t1/data/0a", "t1/objects/0a"]
    for name in names:
        await provider.put(name, b"")
    assert list(await provider.keys()) == sorted(names)
    assert list(await provider.keys("t1/data/")) == ["t1/data/0a", "t1/data/0b"]
    assert list(await provider.keys("t3/data/")) == []
    await provider.delete("t1/data/0a")
    assert list(await provider.keys("t1/data/")) == ["t1/data/0b"]


async def test_ranges_are_read_in_pieces(provider: Provider) -> None:
    await provider.put(KEY, CONTENT)
    reader = await provider.open(KEY)
    assert reader.size_bytes == len(CONTENT)
    pieces = await reader.read(500, 2500, piece_bytes=1000)
    assert pieces == [CONTENT[500:1500], CONTENT[1500:2500], CONTENT[2500:3000]]
    assert b"".join(await reader.read(9990, 100, piece_bytes=1000)) == CONTENT[9990:]
    assert await reader.read(10_000, 1, piece_bytes=1000) == []
    await reader.close()
    await reader.close()


async def test_a_deleted_thing_stays_readable_for_who_has_it_open_or_is_not_found(
    provider: Provider, kind: str
) -> None:
    await provider.put(KEY, CONTENT)
    reader = await provider.open(KEY)
    await provider.delete(KEY)
    if kind not in ("local", "memory", "folder+folder"):
        with pytest.raises(NotFoundError, match=KEY):
            await reader.read(0, 10_000, piece_bytes=10_000)
    else:
        assert b"".join(await reader.read(0, 10_000, piece_bytes=10_000)) == CONTENT
    await reader.close()


async def test_a_copy_is_a_thing_of_its_own(provider: Provider) -> None:
    await provider.put(KEY, CONTENT)
    await provider.copy(KEY, COPY)
    await provider.delete(KEY)
    assert await provider.get(COPY) == CONTENT


async def test_pieces_gather_in_any_order_and_are_published_at_once(provider: Provider) -> None:
    staging = await provider.stage(STAGING)
    await staging.write([(6000, CONTENT[6000:]), (0, CONTENT[:10])])
    await staging.write([(10, CONTENT[10:6000])])
    assert list(staging.written) == [(0, 10_000)]
    assert list(staging.durable) == []
    assert staging.unsynced_bytes == 10_000
    await staging.sync()
    assert list(staging.durable) == [(0, 10_000)]
    assert staging.unsynced_bytes == 0
    assert list(await provider.keys()) == []
    await staging.publish(KEY, 9_000)
    assert await _read(provider, KEY) == CONTENT[:9_000]
    assert await staging.read(100, 50) == CONTENT[100:150]
    await staging.discard()
    await staging.discard()
    assert await _read(provider, KEY) == CONTENT[:9_000]
    assert list(await provider.stagings()) == []


async def test_publishing_may_be_repeated(provider: Provider) -> None:
    await provider.put(KEY, b"what a crash left")
    staging = await provider.stage(STAGING)
    await staging.write([(0, CONTENT)])
    await staging.publish(KEY, 10_000)
    await staging.publish(KEY, 10_000)
    assert await _read(provider, KEY) == CONTENT
    await staging.close()


async def test_a_staging_is_found_again(provider: Provider) -> None:
    staging = await provider.stage(STAGING)
    await staging.write([(5, b"56789"), (20, b"x")])
    await staging.sync()
    await staging.close()
    assert [s.key for s in await provider.stagings()] == [STAGING]
    again = await provider.stage(STAGING)
    assert list(again.durable) == [(5, 10), (20, 21)]
    assert await again.read(5, 5) == b"56789"
    await again.close()
    await provider.discard_staging(STAGING)
    await provider.discard_staging(STAGING)
    assert list(await provider.stagings()) == []


async def test_a_tool_gets_a_file(provider: Provider, tmp_path: Path) -> None:
    staging = await provider.stage(STAGING)
    await staging.write([(0, CONTENT)])
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert (await staging.path(tmp_path, sha256=sha256)).read_bytes() == CONTENT
    await staging.discard()


async def test_a_file_of_segments_that_come_back_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Bucket(MemoryStore(), name="memory://", part_bytes=4096)
    provider = _on(bucket, tmp_path, Threads(1))
    staging = await provider.stage(STAGING)
    await staging.write([(0, CONTENT)])
    await staging.sync()
    get_range = bucket.get_range

    async def flipped(path: str, start: int, end: int, *, key: str) -> memoryview:
        data = bytearray(await get_range(path, start, end, key=key))
        data[1] ^= 1
        return memoryview(bytes(data))

    sha256 = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setattr(bucket, "get_range", flipped)
    with pytest.raises(UnavailableError, match="send CompleteUpload again"):
        await staging.path(tmp_path, sha256=sha256)
    monkeypatch.undo()
    assert (await staging.path(tmp_path, sha256=sha256)).read_bytes() == CONTENT


async def test_a_file_is_adopted_from_a_scratch_folder_that_is_emptied(provider: Provider) -> None:
    async with provider.scratch() as folder:
        made, left = folder / "made", folder / "left"
        made.write_bytes(CONTENT)
        left.write_bytes(b"")
        await provider.adopt(made, KEY)
    assert not folder.exists()
    assert await _read(provider, KEY) == CONTENT


async def test_a_url_fetches_a_thing_or_there_are_none(provider: Provider, kind: str) -> None:
    await provider.put(KEY, CONTENT)
    if kind not in SIGNING:
        with pytest.raises(UnimplementedError, match="use Read"):
            await provider.url(KEY, timedelta(minutes=1))
        return
    url = await provider.url(KEY, timedelta(minutes=1))
    assert await asyncio.to_thread(_fetch, url) == CONTENT[100:200]


def _fetch(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Range": "bytes=100-199"})  # noqa: S310
    with urllib.request.urlopen(request) as response:  # noqa: S310  # our own server's
        return bytes(response.read())


async def test_a_segment_is_put_at_a_url_or_there_are_none(provider: Provider, kind: str) -> None:
    staging = await provider.stage(STAGING)
    minute = timedelta(minutes=1)
    if kind not in SIGNING:
        assert not staging.signs
        with pytest.raises(UnimplementedError, match="use Write"):
            await staging.sign(0, 3000, minute)
        with pytest.raises(UnimplementedError, match="use Write"):
            await staging.confirm(0, 3000)
        await staging.discard()
        return
    assert staging.signs
    await staging.write([(3000, CONTENT[3000:])])
    signed = await staging.sign(0, 3000, minute)
    with pytest.raises(DataLossError, match="not in the bucket"):
        await staging.confirm(0, 3000)
    for wrong in (b"", CONTENT[:2999], CONTENT[:3001]):
        await asyncio.to_thread(_put, signed, wrong)
        await staging.refresh()
        assert list(staging.durable) == []
        with pytest.raises(DataLossError, match=f"{len(wrong)} bytes were put"):
            await staging.confirm(0, 3000)
        with pytest.raises(DataLossError, match="not in the bucket"):  # it was removed
            await staging.confirm(0, 3000)
    await asyncio.to_thread(_put, signed, CONTENT[:3000])
    await staging.confirm(0, 3000)
    await staging.confirm(0, 3000)
    assert list(staging.durable) == [(0, 3000)]
    assert list(staging.written) == [(0, 10_000)]
    assert await staging.read(2990, 20) == CONTENT[2990:3010]
    await staging.sync()
    again = await provider.stage(STAGING)
    assert list(again.durable) == [(0, 10_000)]
    assert (await again.publish(KEY, 10_000)).sha256 == hashlib.sha256(CONTENT).hexdigest()
    await again.discard()
    # The URL holds, but nothing of what is put there any more is of anything.
    await asyncio.to_thread(_put, signed, bytes(3000))
    assert await _read(provider, KEY) == CONTENT
    assert [stat.key for stat in await provider.stagings()] == [STAGING]
    await provider.discard_staging(STAGING)
    assert list(await provider.stagings()) == []


def _put(signed: SignedPut, data: bytes) -> None:
    # moto takes urllib's own content type for a form
    headers = {"Content-Type": "application/octet-stream", **signed.headers}
    request = urllib.request.Request(signed.url, data, headers, method="PUT")  # noqa: S310
    with urllib.request.urlopen(request):  # noqa: S310
        pass


async def test_a_url_that_puts_a_segment_puts_nothing_else(provider: Provider, kind: str) -> None:
    if kind not in SIGNING:
        pytest.skip("there are no URLs")
    staging = await provider.stage(STAGING)
    signed = await staging.sign(0, 3000, timedelta(seconds=77))
    parts = urlsplit(signed.url)
    assert unquote(parts.path).endswith(f"/some/prefix/staging/{STAGING}/{0:016x}-{3000:016x}")
    query = parse_qs(parts.query)
    if "sig" in query:  # Azure's
        assert query["sr"] == ["b"]
        begin, end = (datetime.fromisoformat(query[name][0]) for name in ("st", "se"))
        assert end - begin == timedelta(seconds=77)
        other = parts.path.replace(f"{3000:016x}", f"{3001:016x}")
        elsewhere = replace(signed, url=parts._replace(path=other).geturl())
        with pytest.raises(urllib.error.HTTPError, match="403"):
            await asyncio.to_thread(_put, elsewhere, b"")
    else:
        assert query["X-Amz-Expires"] == ["77"]
        assert query["X-Amz-SignedHeaders"] == ["host"]
    await staging.discard()


async def test_other_processes_see_what_is_durable(provider: Provider, kind: str) -> None:
    if kind in ("local", "memory", "folder+folder"):
        pytest.skip("the place is one process's alone")
    here, there = await provider.stage(STAGING), await provider.stage(STAGING)
    await here.write([(0, CONTENT[:3000])])
    await there.write([(2000, CONTENT[2000:])])
    await there.sync()
    await here.sync()
    await there.refresh()
    assert list(there.durable) == list(there.written) == [(0, 10_000)]
    assert await there.read(0, 10_000) == CONTENT
    assert (await there.publish(KEY, 10_000)).sha256 == hashlib.sha256(CONTENT).hexdigest()
    await there.discard()
    with pytest.raises(NotFoundError):
        await here.publish(COPY, 10_000)
    assert list(await provider.keys()) == [KEY]


async def test_a_large_content_is_published_in_parts(provider: Provider) -> None:
    size_bytes = 17 * 1024 * 1024 + 1
    content = os.urandom(size_bytes)
    staging = await provider.stage(STAGING)
    for at in range(0, size_bytes, 3_000_000):
        await staging.write([(at, content[at : at + 3_000_000])])
    await staging.sync()
    await staging.publish(KEY, size_bytes)
    assert (await provider.stat(KEY)).size_bytes == size_bytes
    assert hashlib.sha256(await _read(provider, KEY)).digest() == hashlib.sha256(content).digest()
    async with provider.scratch() as folder:
        file = await staging.path(folder, sha256=hashlib.sha256(content).hexdigest())
        assert file.read_bytes() == content
    await staging.discard()


@pytest.mark.parametrize("key", ["../x", "a/../b", "/etc/passwd", "a//b", "a/.b", "a/b~c", "a/\0"])
async def test_a_key_that_is_none_never_reaches_a_disk(tmp_path: Path, key: str) -> None:
    threads = Threads(1)
    provider = LocalProvider(tmp_path, threads)
    await provider.start()
    with pytest.raises(InternalError):
        await provider.put(key, b"")
    with pytest.raises(InternalError):
        await provider.stage(key)
    await provider.close()
    threads.close()


async def test_a_staging_is_read_while_it_gathers_and_after_it_is_gone(provider: Provider) -> None:
    staging = await provider.stage(STAGING)
    await staging.write([(2000, CONTENT[2000:3000])])
    reader = await staging.reader()
    await staging.write([(0, CONTENT[:2000])])
    assert b"".join(await reader.read(0, 3000, piece_bytes=700)) == CONTENT[:3000]
    await staging.publish(KEY, 3000)
    await staging.discard()
    assert await reader.read(100, 50, piece_bytes=1000) == [CONTENT[100:150]]
    await reader.close()
    await reader.close()
