import os
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from distconv.core.errors import InternalError, NotFoundError, UnimplementedError
from distconv.storage.providers.local import LocalProvider
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.providers.port import Provider
from distconv.storage.threads import Threads

KEY = "t1/data/0abc"
STAGING = "t1/data/0abc.0123456789ab"
CONTENT = os.urandom(10_000)


@pytest.fixture(params=["local", "memory"])
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Provider]:
    threads = Threads(2)
    adapter: Provider = (
        LocalProvider(tmp_path / "root", threads)
        if request.param == "local"
        else MemoryProvider(tmp_path)
    )
    await adapter.start()
    yield adapter
    await adapter.close()
    threads.close()


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
        await provider.copy(KEY, "t1/data/0def")
    await provider.delete(KEY)


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


async def test_a_deleted_thing_stays_readable_for_who_has_it_open(provider: Provider) -> None:
    await provider.put(KEY, CONTENT)
    reader = await provider.open(KEY)
    await provider.delete(KEY)
    assert b"".join(await reader.read(0, 10_000, piece_bytes=10_000)) == CONTENT
    await reader.close()


async def test_a_copy_is_a_thing_of_its_own(provider: Provider) -> None:
    await provider.put(KEY, CONTENT)
    await provider.copy(KEY, "t1/data/0def")
    await provider.delete(KEY)
    assert await provider.get("t1/data/0def") == CONTENT


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
    assert (await staging.path(tmp_path)).read_bytes() == CONTENT
    await staging.discard()


async def test_a_file_is_adopted_from_a_scratch_folder_that_is_emptied(provider: Provider) -> None:
    async with provider.scratch() as folder:
        made, left = folder / "made", folder / "left"
        made.write_bytes(CONTENT)
        left.write_bytes(b"")
        await provider.adopt(made, KEY)
    assert not folder.exists()
    assert await _read(provider, KEY) == CONTENT


async def test_no_urls(provider: Provider) -> None:
    with pytest.raises(UnimplementedError, match="use Read"):
        await provider.url(KEY, timedelta(minutes=1))


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
