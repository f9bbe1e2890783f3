"""Places of pools that belong together, and what is said when one is missing."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest
from obstore.store import MemoryStore

from distconv.core.errors import FailedPreconditionError
from distconv.storage.providers.local_site import LocalSite
from distconv.storage.providers.marks import FILE, Mark, Marks, Site
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_site import ObjectSite
from distconv.storage.threads import Threads


class _Kind(Protocol):
    """How places of a kind are made, filled and tampered with, by number."""

    def make(self, number: int) -> Site: ...

    async def fill(self, number: int) -> None: ...

    async def write(self, number: int, line: bytes | None) -> None: ...


class _Folders:
    def __init__(self, root: Path, threads: Threads) -> None:
        self._root = root
        self._threads = threads

    def make(self, number: int) -> Site:
        folder = self._root / str(number)
        for part in ("objects", "staging", "scratch"):
            (folder / part).mkdir(parents=True)
        return LocalSite(folder, self._threads)

    async def fill(self, number: int) -> None:
        folder = self._root / str(number) / "objects" / "t1"
        folder.mkdir()
        (folder / "0abc").touch()

    async def write(self, number: int, line: bytes | None) -> None:
        path = self._root / str(number) / FILE
        path.unlink() if line is None else path.write_bytes(line)


class _Buckets:
    def __init__(self) -> None:
        self._buckets: dict[int, Bucket] = {}

    def make(self, number: int) -> Site:
        bucket = Bucket(MemoryStore(), name=f"memory://{number}", part_bytes=4096)
        self._buckets[number] = bucket
        return ObjectSite(bucket)

    async def fill(self, number: int) -> None:
        await self._buckets[number].put("objects/t1/0abc", b"", key="")

    async def write(self, number: int, line: bytes | None) -> None:
        if line is None:
            await self._buckets[number].delete([FILE])
        else:
            await self._buckets[number].put(FILE, line, key=FILE)


class _Storage:
    """A main place and two pools, that vanish and hold things."""

    def __init__(self, kind: _Kind, numbers: "count[int]") -> None:
        self._kind = kind
        self._numbers = numbers
        self._of: dict[int, int] = {}
        self.main = self.fresh()
        self.pools = {name: self.fresh() for name in ("fast", "archive")}

    def fresh(self) -> Site:
        """Return an empty place."""
        number = next(self._numbers)
        site = self._kind.make(number)
        self._of[id(site)] = number
        return site

    async def fill(self, *sites: Site) -> None:
        for site in sites:
            await self._kind.fill(self._of[id(site)])

    async def write(self, site: Site, line: bytes | None) -> None:
        await self._kind.write(self._of[id(site)], line)

    @property
    def marks(self) -> Marks:
        return Marks(self.main, self.pools)

    async def words(self, site: Site) -> Sequence[str]:
        mark = await site.read()
        return [mark.storage_id, *sorted(mark.pools, key=lambda name: (name != "main", name))]


@pytest.fixture(params=["folders", "buckets"])
def kind(request: pytest.FixtureRequest, tmp_path: Path, threads: Threads) -> _Kind:
    return _Folders(tmp_path, threads) if request.param == "folders" else _Buckets()


@pytest.fixture
def numbers() -> "count[int]":
    return count()


@pytest.fixture
def storage(kind: _Kind, numbers: "count[int]") -> _Storage:
    return _Storage(kind, numbers)


async def test_new_places_are_marked_once(storage: _Storage) -> None:
    await storage.marks.check()
    await storage.marks.mark()
    storage_id, *pools = await storage.words(storage.main)
    assert pools == ["main", "archive", "fast"]
    for name, site in storage.pools.items():
        assert await storage.words(site) == [storage_id, name]
    await storage.marks.mark()
    assert await storage.words(storage.main) == [storage_id, *pools]


async def test_what_an_earlier_version_filled_is_taken(storage: _Storage) -> None:
    await storage.fill(storage.main, storage.pools["fast"])
    await storage.marks.mark()
    await storage.marks.check()


@pytest.mark.parametrize("marked", [True, False])
async def test_a_main_place_that_is_away_is_missed(storage: _Storage, marked: bool) -> None:
    await storage.fill(storage.main, *storage.pools.values())
    if marked:
        await storage.marks.mark()
    away, storage.main = storage.main, storage.fresh()
    with pytest.raises(FailedPreconditionError, match=r"pool 'fast' at .*see that .*start storage"):
        await storage.marks.check()
    with pytest.raises(FailedPreconditionError):
        await storage.marks.mark()
    storage.main = away
    await storage.marks.check()


async def test_a_pool_that_is_away_is_missed(storage: _Storage) -> None:
    await storage.marks.mark()
    away, storage.pools["archive"] = storage.pools["archive"], storage.fresh()
    with pytest.raises(FailedPreconditionError, match=r"pool 'archive' is not at .*see that"):
        await storage.marks.check()
    storage.pools["archive"] = away
    await storage.marks.check()


async def test_a_lost_pool_begins_anew_once_its_line_is_written(storage: _Storage) -> None:
    await storage.marks.mark()
    storage.pools["archive"] = storage.fresh()
    with pytest.raises(FailedPreconditionError) as refused:
        await storage.marks.check()
    line = refused.value.message.split("write '")[1].split("'")[0]
    await storage.write(storage.pools["archive"], line.encode())
    await storage.marks.check()


async def test_pools_that_are_exchanged_are_refused(storage: _Storage) -> None:
    await storage.marks.mark()
    fast, archive = storage.pools.values()
    storage.pools = {"fast": archive, "archive": fast}
    with pytest.raises(FailedPreconditionError, match=r"set as the storage pool 'fast', is the"):
        await storage.marks.check()


async def test_a_pool_that_is_taken_for_the_main_place_is_refused(storage: _Storage) -> None:
    await storage.marks.mark()
    storage.main = storage.pools.pop("fast")
    with pytest.raises(FailedPreconditionError, match=r"main storage place, is the pool 'fast'"):
        await storage.marks.check()


async def test_the_pool_of_another_storage_is_refused(
    storage: _Storage, kind: _Kind, numbers: "count[int]"
) -> None:
    other = _Storage(kind, numbers)
    for each in (storage, other):
        await each.marks.mark()
    storage.pools["fast"] = other.pools["fast"]
    with pytest.raises(FailedPreconditionError, match="of storage "):
        await storage.marks.check()


async def test_an_empty_pool_is_added_and_a_full_one_refused(storage: _Storage) -> None:
    await storage.fill(storage.main)
    await storage.marks.mark()
    storage.pools["third"] = storage.fresh()
    await storage.marks.mark()
    assert "third" in await storage.words(storage.main)
    storage.pools["fourth"] = storage.fresh()
    await storage.fill(storage.pools["fourth"])
    with pytest.raises(FailedPreconditionError, match=r"new storage pool 'fourth', holds objects"):
        await storage.marks.check()


async def test_a_crash_while_marking_is_made_good(storage: _Storage) -> None:
    await storage.marks.mark()
    before = await storage.words(storage.main)
    # As a crash leaves it after the pools' own marks, or between them.
    storage.pools["late"] = storage.fresh()
    await storage.write(storage.pools["late"], f"{before[0]} late\n".encode())
    storage.pools["later"] = storage.fresh()
    await storage.marks.mark()
    assert set(await storage.words(storage.main)) == {*before, "late", "later"}


async def test_a_damaged_mark_is_told_of(storage: _Storage) -> None:
    await storage.marks.mark()
    await storage.write(storage.pools["fast"], b"\xff")
    with pytest.raises(FailedPreconditionError, match="is damaged; restore it"):
        await storage.marks.check()


async def test_without_pools_nothing_is_marked(storage: _Storage) -> None:
    storage.pools = {}
    await storage.marks.mark()
    assert not (await storage.main.read()).storage_id


async def test_pools_that_were_left_out_are_known(storage: _Storage) -> None:
    assert await storage.marks.left_out() == []
    await storage.marks.mark()
    assert await storage.marks.left_out() == []
    del storage.pools["fast"]
    await storage.marks.check()
    assert await storage.marks.left_out() == ["fast"]


class _Overtaken:
    """A place that another process marks with all others, just after it was first read."""

    def __init__(self, site: Site, other: Marks) -> None:
        self._site = site
        self._other: Marks | None = other
        self.where, self.mark_at, self.remedy = site.where, site.mark_at, site.remedy
        self.begin, self.add, self.holds_anything = site.begin, site.add, site.holds_anything

    async def read(self) -> Mark:
        mark = await self._site.read()
        other, self._other = self._other, None
        if other is not None:
            await other.check()
            await other.mark()
        return mark


@pytest.mark.parametrize("read_first", ["main", "fast"])
@pytest.mark.parametrize("new", [True, False])
async def test_a_process_that_is_overtaken_while_it_looks_looks_again(
    numbers: "count[int]", read_first: str, new: bool
) -> None:
    storage = _Storage(_Buckets(), numbers)
    if not new:
        await Marks(storage.main, {"archive": storage.pools["archive"]}).mark()
    other = storage.marks
    if read_first == "main":
        marks = Marks(_Overtaken(storage.main, other), storage.pools)
    else:
        fast = _Overtaken(storage.pools["fast"], other)
        marks = Marks(storage.main, {**storage.pools, "fast": fast})
    await marks.check()
    await marks.mark()
    storage_id, *names = await storage.words(storage.main)
    assert names == ["main", "archive", "fast"]
    for name, site in storage.pools.items():
        assert await storage.words(site) == [storage_id, name]


async def test_each_of_two_that_add_pools_at_once_keeps_its_own(numbers: "count[int]") -> None:
    storage = _Storage(_Buckets(), numbers)
    await storage.marks.mark()
    await storage.main.add(["one"])
    await storage.main.add(["other"])
    assert {"one", "other"} <= {*await storage.words(storage.main)}
