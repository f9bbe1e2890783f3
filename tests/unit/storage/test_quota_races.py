"""What quotas promise whatever overtakes what: at every call to the provider others have turns."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distconv.core.errors import DistconvError, QuotaExceededError
from distconv.storage.completion import Completion
from distconv.storage.limits import Limits
from distconv.storage.names import Place, reserved_prefix, tenant_contents_prefix
from distconv.storage.objects import Objects
from distconv.storage.providers.memory import MemoryProvider
from distconv.storage.quotas import STEP_BYTES, QuotaLimits, Quotas
from distconv.storage.records import ObjectRecord, UploadRecord
from distconv.storage.testing import FakeFinisher, SteppedClock
from distconv.storage.threads import Threads
from distconv.storage.uploads import Uploads

CLOCK = SteppedClock()
QUOTA = STEP_BYTES * 3 // 2  # two uploads that grow by a step each do not fit
LIMITS = QuotaLimits(by_tenant={"t1": QUOTA})
TURNS = st.lists(st.integers(0, 6), min_size=1, max_size=60)
RACES = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200
)


class Interleaved(MemoryProvider):
    """Lets others have so many turns before each call, as a disk and a bucket do."""

    def __init__(self, folder: Path, turns: Sequence[int]) -> None:
        super().__init__(folder, clock=CLOCK)
        self._turns = turns
        self._calls = 0

    async def _pass(self) -> None:
        turns = self._turns[self._calls % len(self._turns)]
        self._calls += 1
        for _ in range(turns):
            await asyncio.sleep(0)

    async def put(self, key: str, data: bytes) -> None:
        """Keep a thing."""
        await self._pass()
        await super().put(key, data)
        await self._pass()

    async def keys(self, prefix: str = "", *, skip_away: bool = False) -> Sequence[str]:
        """Return the keys under a prefix."""
        await self._pass()
        found = await super().keys(prefix, skip_away=skip_away)
        await self._pass()
        return found

    async def delete(self, key: str) -> None:
        """Forget a thing."""
        await self._pass()
        await super().delete(key)
        await self._pass()


def _upload(object_id: str, size_bytes: int = 0) -> UploadRecord:
    return UploadRecord(
        nonce=os.urandom(6).hex(),
        object_id=object_id,
        tenant="t1",
        size_bytes=size_bytes,
        create_time=CLOCK.now(),
    )


async def _covered(quotas: Quotas, upload: UploadRecord, size_bytes: int) -> int:
    """Return how many bytes the upload may have now."""
    try:
        await quotas.cover(upload, size_bytes)
    except QuotaExceededError:
        return 0
    return size_bytes


async def _used(provider: MemoryProvider) -> int:
    return sum((await Quotas(provider, LIMITS).used_by_pool()).values())


@RACES
@given(TURNS, st.lists(st.integers(1, STEP_BYTES // 4), min_size=3, max_size=6))
async def test_what_one_process_was_granted_no_other_takes_back(
    tmp_path: Path, turns: list[int], sizes: list[int]
) -> None:
    provider = Interleaved(tmp_path, turns)
    shared, other = _upload("0a"), _upload("0b")
    # Every process grows the one upload; the first one has another besides.
    processes = [Quotas(provider, LIMITS) for _ in sizes]
    granted = await asyncio.gather(
        *(_covered(q, shared, size) for q, size in zip(processes, sizes, strict=True)),
        _covered(processes[0], other, sizes[0]),
    )
    used = await _used(provider)
    assert max(granted[:-1]) + granted[-1] <= used <= QUOTA


@RACES
@given(TURNS, st.integers(1, STEP_BYTES))
async def test_an_upload_that_ends_gives_back_its_own_and_no_more(
    tmp_path: Path, turns: list[int], size_bytes: int
) -> None:
    provider = Interleaved(tmp_path, turns)
    quotas = Quotas(provider, LIMITS)
    old, new = _upload("0a"), _upload("0a")
    place = Place(tenant="t1", object_id="0a")
    # A write to the old one is still under way while it is given up.
    await asyncio.gather(
        _covered(quotas, old, STEP_BYTES),
        quotas.release(place, old.nonce),
    )
    granted, _ = await asyncio.gather(
        _covered(quotas, new, size_bytes),
        quotas.release(place, old.nonce),
    )
    assert granted == size_bytes
    assert await _used(provider) >= granted
    await quotas.release(place, new.nonce)
    assert await _used(provider) == 0


class Halting(MemoryProvider):
    """Halts after it has listed the keys under a prefix, once, until it is let go."""

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__(folder, clock=CLOCK)
        self._prefix = prefix
        self.halted = asyncio.Event()
        self.go = asyncio.Event()

    async def keys(self, prefix: str = "", *, skip_away: bool = False) -> Sequence[str]:
        """Return the keys under a prefix."""
        found = await super().keys(prefix, skip_away=skip_away)
        if prefix == self._prefix and not self.halted.is_set():
            self.halted.set()
            await self.go.wait()
        return found


@pytest.mark.parametrize("prefix", [tenant_contents_prefix("t1"), reserved_prefix("t1")])
async def test_an_object_counts_all_the_while_it_is_being_committed(
    tmp_path: Path, prefix: str
) -> None:
    provider = Halting(tmp_path, prefix)
    quotas = Quotas(provider, LIMITS)
    await _refused_while_one_commits(provider, quotas)


class TwoPages(MemoryProvider):
    """Lists all keys in two pages, as a bucket does, and halts once between them: at `reserved`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, clock=CLOCK)
        self.halted = asyncio.Event()
        self.go = asyncio.Event()

    async def keys(self, prefix: str = "", *, skip_away: bool = False) -> Sequence[str]:
        """Return the keys under a prefix."""
        page = [
            key
            for key in await super().keys(prefix, skip_away=skip_away)
            if key < reserved_prefix("t1")
        ]
        if not prefix and not self.halted.is_set():
            self.halted.set()
            await self.go.wait()
        return [
            *page,
            *(
                key
                for key in await super().keys(prefix, skip_away=skip_away)
                if key >= reserved_prefix("t1")
            ),
        ]


async def test_a_pool_counts_an_object_that_is_committed_between_two_pages(tmp_path: Path) -> None:
    provider = TwoPages(tmp_path)
    quotas = Quotas(provider, QuotaLimits(by_pool={"main": QUOTA}))
    await _refused_while_one_commits(provider, quotas)
    assert await quotas.used_by_pool() == {"main": QUOTA}


def _record(upload: UploadRecord) -> ObjectRecord:
    return ObjectRecord(
        object_id=upload.object_id,
        tenant=upload.tenant,
        nonce=upload.nonce,
        size_bytes=upload.size_bytes,
        sha256="0" * 64,
        received_size_bytes=upload.size_bytes,
        received_sha256="0" * 64,
        create_time=CLOCK.now(),
        commit_time=CLOCK.now(),
    )


@RACES
@given(turns=TURNS, before=st.integers(0, 40))
async def test_an_upload_given_up_in_the_middle_of_a_write_leaves_no_reservation(
    tmp_path: Path, threads: Threads, turns: list[int], before: int
) -> None:
    provider = Interleaved(tmp_path, turns)
    uploads = _uploads(provider, threads)
    place = Place(tenant="t1", object_id="0a")
    upload = await uploads.create(place, size_bytes=0, container=None)

    async def write() -> None:
        await upload.write([(0, b"x" * 100)])

    async def abort() -> None:
        for _ in range(before):
            await asyncio.sleep(0)
        await uploads.abort("t1", upload.id)

    written, aborted = await asyncio.gather(write(), abort(), return_exceptions=True)
    assert written is None or isinstance(written, DistconvError)
    assert aborted is None
    assert list(await provider.keys(reserved_prefix("t1"))) == []
    await uploads.stop()


def _uploads(provider: MemoryProvider, threads: Threads) -> Uploads:
    return Uploads(
        provider=provider,
        objects=Objects(provider),
        quotas=Quotas(provider, LIMITS),
        completion=Completion(
            provider=provider,
            finisher=FakeFinisher(),
            finish_concurrency=1,
            threads=threads,
            clock=CLOCK,
        ),
        threads=threads,
        limits=Limits(),
        clock=CLOCK,
    )


async def _refused_while_one_commits(provider: "Halting | TwoPages", quotas: Quotas) -> None:
    """Commit an object that fills the quota while the room for another is being looked for."""
    first, place = _upload("0a", QUOTA), Place(tenant="t1", object_id="0a")
    provider.halted.set()  # not yet
    await quotas.reserve(first)
    provider.halted.clear()
    other = asyncio.create_task(quotas.reserve(_upload("0b", 1)))
    await provider.halted.wait()
    await Objects(provider).commit(place, _record(first))
    await quotas.release(place, first.nonce)
    provider.go.set()
    with pytest.raises(QuotaExceededError):
        await other
