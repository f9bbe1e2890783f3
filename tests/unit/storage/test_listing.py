"""Pages of objects, and what is asked of those on them."""

from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from distconv.core.errors import InvalidArgumentError
from distconv.storage.completion import Completion
from distconv.storage.limits import Limits
from distconv.storage.listing import ALL, Listing, Wanted
from distconv.storage.names import Place
from distconv.storage.objects import Objects
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.quotas import Quotas
from distconv.storage.records import Description, ObjectRecord, UploadRecord
from distconv.storage.testing import FakeFinisher, SteppedClock
from distconv.storage.threads import Threads
from distconv.storage.uploads import Uploads

COUNT = 40
_TIME = datetime(2030, 1, 1, tzinfo=UTC)


def _record(
    object_id: str, time: datetime = _TIME, description: Description | None = None
) -> ObjectRecord:
    return ObjectRecord(
        object_id=object_id,
        tenant="t1",
        nonce="0" * 12,
        size_bytes=1,
        sha256="",
        received_size_bytes=1,
        received_sha256="",
        create_time=time,
        commit_time=time,
        description=description or Description(),
    )


@pytest.fixture
async def listing(provider: MemoryProvider, clock: SteppedClock, threads: Threads) -> Listing:
    """Forty objects, one a minute: `o00` to `o39`, of two shows, under two names."""
    objects = Objects(provider)
    for number in range(COUNT):
        description = Description(
            file_name=f"{'abc' if number < 10 else 'abd'}{number}.mp4",
            labels={"show": "even" if number % 2 == 0 else "odd", "all": ""},
        )
        record = _record(f"o{number:02}", clock.now(), description)
        await objects.commit(Place(tenant="t1", object_id=record.object_id), record)
        clock.step(timedelta(minutes=1))
    completion = Completion(
        provider=provider,
        finisher=FakeFinisher(),
        finish_concurrency=1,
        threads=threads,
        clock=clock,
    )
    uploads = Uploads(
        provider=provider,
        objects=objects,
        quotas=Quotas(provider),
        completion=completion,
        threads=threads,
        limits=Limits(),
        clock=clock,
    )
    return Listing(objects, uploads)


async def _ids(listing: Listing, wanted: Wanted = ALL, *, size: int = 7) -> list[str]:
    ids: list[str] = []
    token = ""
    while True:
        page, token = await listing.page("t1", size=size, token=token, wanted=wanted)
        assert len(page) <= size
        ids += [record.object_id for record in page]
        if not token:
            return ids


@pytest.mark.parametrize("size", [1, 7, 16, 40, 1000])
async def test_pages_of_any_size_hold_everything_once_newest_first(
    listing: Listing, size: int
) -> None:
    assert await _ids(listing, size=size) == [f"o{n:02}" for n in reversed(range(COUNT))]


async def test_what_is_asked_for_holds_of_all(listing: Listing, clock: SteppedClock) -> None:
    begin = clock.now() - timedelta(minutes=COUNT)

    assert len(await _ids(listing, Wanted(file_name_prefix="abc"))) == 10
    assert len(await _ids(listing, Wanted(labels={"show": "odd", "all": ""}))) == 20
    assert await _ids(listing, Wanted(labels={"show": "none"})) == []
    assert await _ids(listing, Wanted(id_prefix="o0")) == [f"o0{n}" for n in reversed(range(10))]
    since = Wanted(from_time=begin + timedelta(minutes=38))
    assert await _ids(listing, since) == ["o39", "o38"]
    both = Wanted(before_time=begin + timedelta(minutes=2), labels={"show": "even"})
    assert await _ids(listing, both) == ["o00"]


class _Committing:
    """Uploads, the last of which is committed while one looks at them."""

    def __init__(self, objects: Objects, record: ObjectRecord) -> None:
        self._objects = objects
        self._record: ObjectRecord | None = record

    async def ids(self, tenant: str) -> list[str]:
        await self._commit(tenant)
        return []

    async def find(self, place: Place) -> UploadRecord | None:
        await self._commit(place.tenant)
        return None

    async def _commit(self, tenant: str) -> None:
        record, self._record = self._record, None
        if record is not None:
            await self._objects.commit(Place(tenant=tenant, object_id=record.object_id), record)


@pytest.mark.parametrize("how", ["described", "listed"])
async def test_what_is_committed_between_two_looks_is_there(
    provider: MemoryProvider, how: str
) -> None:
    objects = Objects(provider)
    uploads = cast("Uploads", _Committing(objects, _record("o1")))
    listing = Listing(objects, uploads)
    if how == "described":
        found = await listing.describe(Place(tenant="t1", object_id="o1"))
    else:
        [found], _ = await listing.page("t1", size=0, token="", wanted=ALL)
    assert isinstance(found, ObjectRecord)


@pytest.mark.parametrize("prefix", ["../x", "O", "a" * 65, "\0"])
async def test_what_no_id_begins_with_is_refused(listing: Listing, prefix: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no id begins with") as caught:
        await listing.page("t1", size=0, token="", wanted=Wanted(id_prefix=prefix))
    assert caught.value.metadata["field"] == "id_prefix"
