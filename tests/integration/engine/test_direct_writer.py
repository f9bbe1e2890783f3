"""An output that is put into its bucket, past storage, and through storage when that fails."""

import asyncio
import hashlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.faulty_s3 import Fault, FaultyS3

from distconv.core.clock import SystemClock
from distconv.core.errors import DataLossError, NotFoundError, QuotaExceededError, UnavailableError
from distconv.core.profile import Container
from distconv.engine.direct_writer import DirectWriter
from distconv.engine.sink import Committed, StorageSink
from distconv.engine.storage_link import StorageLink
from distconv.engine.work import MediaGrant
from distconv.engine.write_stream import WriteStream
from distconv.rpc.server import ServerSettings, start_server
from distconv.rpc.tokens import MediaAction, MediaTokens
from distconv.storage.app import StorageApp
from distconv.storage.providers.object_bucket import Bucket
from distconv.storage.providers.object_connect import BucketOptions, connect
from distconv.storage.service import storage_service
from distconv.storage.settings import StorageSettings
from distconv.storage.testing import (
    OBJECT_ID,
    FakeFinisher,
    RunningStorage,
    finished_content,
    running_storage,
)
from servers import S3Server, free_port

MIB = 1024 * 1024
OUTPUT = os.urandom(7 * MIB + 12_345)


class Place:
    """A bucket, and the settings of storage processes on it."""

    def __init__(self, s3: S3Server, between: FaultyS3) -> None:
        self.settings: dict[str, Any] = {
            "bucket_url": f"s3://{s3.new_bucket()}/media",
            "bucket_endpoint": s3.url,
            "bucket_public_endpoint": between.url,
            "bucket_patience_s": 0.2,
            "segment_delay_s": 0.01,
            "watch_interval_s": 0.02,
        }

    @property
    def bucket(self) -> Bucket:
        settings = self.settings
        return connect(
            BucketOptions(url=settings["bucket_url"], endpoint=settings["bucket_endpoint"])
        )


@pytest.fixture
def place(s3: S3Server, between: FaultyS3) -> Place:
    return Place(s3, between)


@pytest.fixture
async def storage(place: Place, tmp_path: Path) -> AsyncIterator[RunningStorage]:
    async with _running(tmp_path, place.settings) as running:
        yield running


@asynccontextmanager
async def _running(folder: Path, settings: dict[str, Any]) -> AsyncIterator[RunningStorage]:
    finisher = FakeFinisher()
    finisher.gate.set()
    async with running_storage(folder, finisher=finisher, **settings) as running:
        yield running


@asynccontextmanager
async def _sink(
    *storages: RunningStorage,
    window_bytes: int = 4 * MIB,
    patience_s: float = 30,
    pause: Callable[[float], None] = lambda _: None,
) -> AsyncIterator[StorageSink]:
    token, _ = storages[0].tokens.sign(
        tenant="local",
        subject="test",
        object_id=OBJECT_ID,
        action=MediaAction.WRITE,
        ttl=timedelta(minutes=5),
    )
    grant = MediaGrant(
        addresses=tuple(storage.address for storage in storages),
        token=token,
        object_name=f"objects/{OBJECT_ID}",
    )
    link = StorageLink(grant, patience_s=patience_s)

    async def paused(pause_s: float) -> None:  # no time passes here
        pause(pause_s)
        await asyncio.sleep(0)

    sink = StorageSink(link, window_bytes=window_bytes, direct=True, pause=paused)
    try:
        async with asyncio.timeout(60):
            await sink.open(Container.MKV)
            yield sink
    finally:
        await sink.abort()
        await link.close()


async def _write(sink: StorageSink, data: bytes = OUTPUT) -> None:
    for at in range(0, len(data), 100_000):
        await sink.write(data[at : at + 100_000])


async def _write_whole(sink: StorageSink) -> Committed:
    await _write(sink)
    return await sink.complete()


def _is_whole(committed: Committed, data: bytes = OUTPUT) -> bool:
    whole = finished_content(data, Container.MKV)
    return (committed.size_bytes, committed.sha256) == (
        len(whole),
        hashlib.sha256(whole).hexdigest(),
    )


def _direct_bytes(sink: StorageSink) -> int:
    return sink._carrier.direct_bytes if isinstance(sink._carrier, DirectWriter) else 0


async def test_an_output_is_put_into_the_bucket_and_committed(
    storage: RunningStorage, between: FaultyS3, place: Place
) -> None:
    async with _sink(storage) as sink:
        held = 0
        for at in range(0, len(OUTPUT), 300_000):
            await sink.write(OUTPUT[at : at + 300_000])
            held = max(held, sink.held_bytes)
        assert _is_whole(await sink.complete())
        assert held <= 4 * MIB
        assert _direct_bytes(sink) == len(OUTPUT) == between.put_bytes
    async with storage.caller() as caller:
        assert await caller.read() == [finished_content(OUTPUT, Container.MKV)]
    assert await place.bucket.list("staging") == []


@pytest.fixture
def vanishing() -> Iterator[str]:
    """Return the URL of a port at which packets vanish: its queue is full, and nobody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        with socket.create_connection(address):
            yield f"http://127.0.0.1:{address[1]}"


@pytest.mark.parametrize(
    "trouble",
    [
        *("unreachable", "vanishing", "unknown", "silent", "forbidden", "failing", "breaking off"),
        *("switched off at storage", "a disk"),
    ],
)
async def test_what_cannot_be_put_goes_through_storage(
    between: FaultyS3,
    place: Place,
    tmp_path: Path,
    vanishing: str,
    monkeypatch: pytest.MonkeyPatch,
    trouble: str,
) -> None:
    monkeypatch.setattr("distconv.engine.segment_puts._SILENCE_S", 0.2)
    monkeypatch.setattr("distconv.engine.http_pool._CONNECT_TIMEOUT_S", 0.2)
    settings = place.settings
    if trouble == "unreachable":
        settings["bucket_public_endpoint"] = f"http://127.0.0.1:{free_port()}"
    elif trouble == "vanishing":
        settings["bucket_public_endpoint"] = vanishing
    elif trouble == "unknown":
        settings["bucket_public_endpoint"] = "http://bucket.invalid:9000"
    elif trouble == "silent":
        between.gate.clear()
    elif trouble == "forbidden":
        between.fault = Fault(403, "AccessDenied")
    elif trouble == "failing":
        between.fault = Fault(500, "InternalError")
    elif trouble == "breaking off":
        between.fault = Fault(0, "")
    elif trouble == "switched off at storage":
        settings["signed_urls"] = False
    else:
        settings = {}
    with capture_logs() as logs:
        async with _running(tmp_path, settings) as storage, _sink(storage) as sink:
            await _write(sink)
            assert _is_whole(await sink.complete())
            assert _direct_bytes(sink) == 0
    said = [log for log in logs if log["event"] == "direct_write_given_up"]
    assert len(said) == (trouble not in ("switched off at storage", "a disk"))
    if trouble in ("vanishing", "silent"):
        assert "says nothing" in said[0]["why"]


async def test_an_engine_that_may_not_writes_through_storage(storage: RunningStorage) -> None:
    async with _sink(storage) as sink:
        other = StorageSink(sink._link, window_bytes=MIB, direct=False)
        await other.open(Container.MKV)
        assert isinstance(other._carrier, WriteStream)
        await other.abort()


@pytest.mark.parametrize("trouble", ["busy", "forbidden", "breaking off", "silent"])
async def test_a_bucket_that_fails_in_the_middle_costs_nothing_but_the_way(
    storage: RunningStorage, between: FaultyS3, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr("distconv.engine.segment_puts._SILENCE_S", 0.5)
    faults = {
        "busy": (503, "SlowDown"),
        "forbidden": (403, "AccessDenied"),
        "breaking off": (0, ""),
    }
    async with _sink(storage, window_bytes=MIB) as sink:
        await _write(sink, OUTPUT[: 3 * MIB])
        if trouble == "silent":
            between.gate.clear()
        else:
            between.fault = Fault(*faults[trouble], methods=("PUT",))
        await _write(sink, OUTPUT[3 * MIB :])
        assert _is_whole(await sink.complete())
        assert MIB < _direct_bytes(sink) < len(OUTPUT)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_bucket_that_is_busy_for_a_moment_is_waited_for(
    storage: RunningStorage, between: FaultyS3, status: int
) -> None:
    pauses: list[float] = []

    def pause(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 6:
            between.fault = None

    between.fault = Fault(status, "SlowDown", ("PUT",))
    async with _sink(storage, pause=pause) as sink:
        await _write(sink)
        assert _is_whole(await sink.complete())
        assert _direct_bytes(sink) == len(OUTPUT)
        assert pauses[0] == 0.1


async def test_a_bucket_that_stays_busy_is_given_up_after_pauses_of_five_seconds(
    storage: RunningStorage, between: FaultyS3
) -> None:
    pauses: list[float] = []
    between.fault = Fault(503, "SlowDown", ("PUT",))
    async with _sink(storage, pause=pauses.append) as sink:
        await sink.write(b"one segment")
        assert _is_whole(await sink.complete(), b"one segment")
        assert _direct_bytes(sink) == 0
    assert sum(pauses) == pytest.approx(5)


class Restartable:
    """A storage process that can be taken away and brought back at the same address."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._folder = folder
        self._settings = {"data_dir": folder, "min_free_bytes": 0, **settings}
        self._bind = "127.0.0.1:0"
        self._tokens = MediaTokens(bytes(32), SystemClock())

    async def up(self) -> RunningStorage:
        finisher = FakeFinisher()
        finisher.gate.set()
        settings = StorageSettings.model_validate(self._settings)
        self._app = StorageApp(settings, SystemClock(), finisher=finisher)
        await self._app.start()
        self._server = await start_server(
            ServerSettings(bind=self._bind, drain_grace=timedelta(0)),
            [storage_service(self._app, self._tokens)],
        )
        self._bind = self._server.address
        return RunningStorage(address=self._bind, app=self._app, tokens=self._tokens)

    async def down(self) -> None:
        await self._server.stop()
        await self._app.stop()


@pytest.fixture
async def restartable(place: Place, tmp_path: Path) -> AsyncIterator[Restartable]:
    made = Restartable(tmp_path, place.settings)
    yield made
    await made.down()


async def test_storage_may_go_and_come_back_in_the_middle(
    restartable: Restartable, between: FaultyS3
) -> None:
    storage = await restartable.up()
    async with _sink(storage) as sink:
        between.gate.clear()
        await _write(sink, OUTPUT[: 3 * MIB])  # some of it signed, none confirmed
        await restartable.down()
        between.gate.set()
        await restartable.up()
        await _write(sink, OUTPUT[3 * MIB :])
        assert _is_whole(await sink.complete())
        assert _direct_bytes(sink) == len(OUTPUT)


async def test_a_storage_that_stays_away_is_an_error(restartable: Restartable) -> None:
    storage = await restartable.up()
    async with _sink(storage, patience_s=0.3) as sink:
        await _write(sink, OUTPUT[:MIB])
        await restartable.down()
        with pytest.raises(UnavailableError):
            await _write(sink, OUTPUT[MIB:])
        with pytest.raises(UnavailableError):
            await sink.complete()
    await restartable.up()


async def test_another_storage_process_goes_on(
    place: Place, restartable: Restartable, tmp_path: Path
) -> None:
    first = await restartable.up()
    async with _running(tmp_path / "other", place.settings) as other, _sink(first, other) as sink:
        await _write(sink, OUTPUT[: 3 * MIB])
        await restartable.down()
        await _write(sink, OUTPUT[3 * MIB :])
        assert _is_whole(await sink.complete())
        assert _direct_bytes(sink) == len(OUTPUT)
    await restartable.up()


async def test_damage_on_the_way_is_put_right_where_the_bucket_tells_of_it(
    storage: RunningStorage, between: FaultyS3
) -> None:
    async with _sink(storage, window_bytes=MIB) as sink:
        await _write(sink, OUTPUT[: 3 * MIB])
        between.flips_puts = 1
        await _write(sink, OUTPUT[3 * MIB :])
        assert _is_whole(await sink.complete())
        assert _direct_bytes(sink) == len(OUTPUT)
        assert between.flips_puts == 0


async def test_damage_again_and_again_is_an_error(
    storage: RunningStorage, between: FaultyS3
) -> None:
    async with _sink(storage, window_bytes=MIB) as sink:
        await _write(sink, OUTPUT[: 3 * MIB])
        between.flips_puts = 1000
        with pytest.raises(DataLossError, match="arrive damaged"):
            await _write(sink, OUTPUT[3 * MIB :])


async def test_what_lies_damaged_is_put_again_before_storage_is_asked_what_it_has(
    storage: RunningStorage, between: FaultyS3
) -> None:
    pauses = 0

    def pause(_: float) -> None:
        nonlocal pauses
        pauses += 1
        if pauses == 8:
            between.fault = None

    async with _sink(storage, window_bytes=MIB, pause=pause) as sink:
        await _write(sink, OUTPUT[: 3 * MIB])
        between.fault_after_flips = Fault(503, "SlowDown", ("PUT",))
        between.flips_puts = 1
        await _write(sink, OUTPUT[3 * MIB :])
        assert _is_whole(await sink.complete())
        assert pauses >= 8


async def test_damage_is_noted_though_another_segment_has_failed_meanwhile(
    storage: RunningStorage, between: FaultyS3
) -> None:
    first, second, end = MIB // 4, MIB * 3 // 4, MIB * 5 // 4  # where segments are cut
    async with _sink(storage, window_bytes=MIB) as sink:
        await sink.write(OUTPUT[:first])
        await asyncio.to_thread(_wait_until, lambda: _direct_bytes(sink) == first)
        seen = len(between.requests)
        between.gate.clear()
        await sink.write(OUTPUT[first:second])
        await asyncio.to_thread(_wait_until, lambda: len(between.requests) > seen)
        between.flips_puts = 1
        between.fault = Fault(403, "AccessDenied", ("PUT",))
        with capture_logs() as logs:
            await sink.write(OUTPUT[second:end])
            await asyncio.to_thread(
                _wait_until, lambda: "direct_write_given_up" in [log["event"] for log in logs]
            )
        between.fault = None
        between.gate.set()
        await _write(sink, OUTPUT[end:])
        assert _is_whole(await sink.complete())
        assert between.flips_puts == 0


@pytest.mark.parametrize(
    "fault", [Fault(503, "SlowDown", ("PUT",)), Fault(403, "Expired", ("PUT",))]
)
async def test_what_lies_damaged_and_cannot_be_put_again_is_an_error(
    storage: RunningStorage, between: FaultyS3, fault: Fault
) -> None:
    async with _sink(storage, window_bytes=MIB) as sink:
        await _write(sink, OUTPUT[: 3 * MIB])
        between.fault_after_flips = fault
        between.flips_puts = 1
        with pytest.raises(DataLossError, match="cannot be put again"):
            await _write_whole(sink)


@pytest.mark.parametrize("etags", [True, False])
async def test_damage_that_nobody_tells_of_is_not_published(
    storage: RunningStorage, between: FaultyS3, place: Place, etags: bool
) -> None:
    between.flips_puts = 1000
    between.hides_etags = not etags
    async with _sink(storage) as sink:
        await _write(sink)
        with pytest.raises(DataLossError, match="what arrived is not what was sent"):
            await sink.complete()
    async with storage.caller() as caller:
        with pytest.raises(NotFoundError):
            await caller.read()
    assert await place.bucket.list("staging") == []


async def test_a_slow_output_is_seen_to_come(
    storage: RunningStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distconv.engine.direct_writer._FLUSH_S", 0.05)
    async with _sink(storage) as sink, storage.caller() as caller:
        read = bytearray()
        arrived = asyncio.Condition()

        async def follow() -> None:
            async for response in caller.follow((0, 0)):
                async with arrived:
                    read.extend(response.chunk.data)
                    arrived.notify_all()

        following = asyncio.create_task(follow())
        for end in (10, 20, 300_020):
            await sink.write(OUTPUT[len(read) : end])
            async with arrived:
                while len(read) < end:
                    await arrived.wait()
        assert read == OUTPUT[:300_020]
        assert _is_whole(await sink.complete(), OUTPUT[:300_020])
        await following
        assert read == OUTPUT[:300_020]


async def test_an_output_follows_at_another_storage_process(
    place: Place, storage: RunningStorage, tmp_path: Path
) -> None:
    async with (
        _running(tmp_path / "other", place.settings) as other,
        _sink(storage) as sink,
        other.caller() as caller,
    ):
        read = bytearray()

        async def follow() -> None:
            async for response in caller.follow((0, 0)):
                read.extend(response.chunk.data)

        following = asyncio.create_task(follow())
        await _write(sink)
        assert _is_whole(await sink.complete())
        await following
        assert read == OUTPUT


async def test_what_was_taken_is_handed_over_once_and_in_order(
    storage: RunningStorage, between: FaultyS3
) -> None:
    async with _sink(storage, window_bytes=2 * MIB) as sink:
        between.gate.clear()
        await _write(sink, OUTPUT[: 2 * MIB - 100_000])
        held_bytes = sink.held_bytes
        assert held_bytes >= 2 * MIB - 200_000
        between.fault = Fault(403, "AccessDenied")
        between.gate.set()
        await _write(sink, OUTPUT[2 * MIB - 100_000 :])
        assert _is_whole(await sink.complete())
        assert sink.held_bytes == 0


async def test_a_full_quota_is_an_error(place: Place, tmp_path: Path) -> None:
    settings = {**place.settings, "tenant_quotas": [f"local={3 * MIB}"]}
    async with _running(tmp_path, settings) as storage, _sink(storage) as sink:
        with pytest.raises(QuotaExceededError):
            await _write_whole(sink)


async def test_an_abort_leaves_nothing_but_what_is_put_late(
    storage: RunningStorage, between: FaultyS3, place: Place
) -> None:
    async with _sink(storage) as sink:
        await _write(sink, OUTPUT[: 3 * MIB])
        between.gate.clear()
        await _write(sink, OUTPUT[3 * MIB : 4 * MIB])
        await asyncio.to_thread(_wait_until, lambda: "PUT" in str(between.requests[-1:]))
    assert await place.bucket.list("staging") == []
    between.gate.set()


def _wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        threading.Event().wait(0.005)
