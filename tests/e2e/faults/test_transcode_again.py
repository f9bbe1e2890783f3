"""A transcode loses its server, or is killed, at a byte; the same command again goes on."""

import hashlib
import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import leftovers

from benchmarks.clips import bulk
from benchmarks.load.media_plane import Daemon, MediaPlane, finished, media_plane
from benchmarks.load.relay import Relay, Way
from distconv.client import Client, Transfer
from distconv.client.partial import PartialFile, stream_key
from distconv.core.names import bare

_REACHED_S = 60.0
_HEAVY_BYTES = 120_000_000


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[MediaPlane]:
    """Servers without an engine, a relay before storage."""
    folder = tmp_path / "plane"
    folder.mkdir()
    with media_plane(folder, relayed=True, engine=False) as made:
        try:
            yield made
        finally:
            made.engine.stop()


def relay_of(plane: MediaPlane) -> Relay:
    assert plane.relay is not None
    return plane.relay


def at(plane: MediaPlane, way: Way, offset: int, act: Callable[[], None]) -> threading.Event:
    """Act at a byte of what comes by; return what is set then."""
    reached = threading.Event()

    def acted(_data: bytearray, _index: int) -> None:
        act()
        reached.set()

    relay_of(plane).reset()
    relay_of(plane).plan(way, offset, acted)
    return reached


@pytest.fixture(scope="module")
def heavy() -> Path:
    """A video that is still on its way when a death is noticed."""
    return bulk(_HEAVY_BYTES)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("lost", ["dispatch", "storage"])
def test_a_transcode_that_loses_a_server_in_its_upload_goes_on(
    plane: MediaPlane, heavy: Path, out: Path, lost: str
) -> None:
    source = heavy
    size = source.stat().st_size
    daemon: Daemon = getattr(plane, lost)
    transcode = ("transcode", source, "-p", "copy", "-o", out / "a.mkv")
    reached = at(plane, Way.UP, size // 2, daemon.process.kill)
    run = plane.start_dcctl(*transcode, "--reconnect", "0")
    assert reached.wait(_REACHED_S)
    code, _, err = finished(run)
    assert code == 5, err
    assert "the job may go on there" in err
    daemon.kill()
    daemon.start()
    relay_of(plane).reset()
    again = plane.start_dcctl(*transcode, "--progress", "json")
    plane.engine.start()
    code, _, err = finished(again)
    assert code == 0, err
    assert "going on with job" in err
    assert leftovers(out) == ["a.mkv"]
    [job] = plane.dcctl("jobs", "list")["jobs"]
    assert job["state"] == "COMPLETED"
    assert plane.dcctl("objects", "list")["objects"] == []
    uploads = [json.loads(line) for line in err.splitlines() if '"upload"' in line]
    assert size // 3 < uploads[0]["done_bytes"] < size


def test_a_job_whose_source_is_gone_is_nothing_to_go_on_with(
    plane: MediaPlane, heavy: Path, out: Path
) -> None:
    transcode = ("transcode", heavy, "-p", "copy", "-o", out / "a.mkv")
    run = plane.start_dcctl(*transcode)

    def interrupt_without_dispatch() -> None:
        plane.dispatch.process.kill()
        run.send_signal(signal.SIGINT)

    assert at(plane, Way.UP, 1_000_000, interrupt_without_dispatch).wait(_REACHED_S)
    code, _, err = finished(run)
    assert code == 130, err
    assert "could not be cancelled and may go on" in err
    plane.dispatch.kill()
    plane.dispatch.start()
    [left] = plane.dcctl("jobs", "list")["jobs"]
    assert left["state"] == "PENDING"
    again = plane.start_dcctl(*transcode)
    plane.engine.start()
    code, _, err = finished(again)
    assert code == 0, err
    assert f"job {left['name'].removeprefix('jobs/')}, which an earlier run left" in err
    states = {job["name"]: job["state"] for job in plane.dcctl("jobs", "list")["jobs"]}
    assert states.pop(left["name"]) == "CANCELLED"
    assert list(states.values()) == ["COMPLETED"]
    assert leftovers(out) == ["a.mkv"]


def test_a_transcode_that_was_killed_while_it_followed_the_output_fetches_the_rest(
    plane: MediaPlane, heavy: Path, out: Path
) -> None:
    transcode = ("transcode", heavy, "-p", "copy", "-o", out / "a.mkv", "--keep")
    plane.engine.start()
    size = heavy.stat().st_size
    begun = threading.Event()
    runs: list[subprocess.Popen[str]] = []

    def kill() -> None:
        begun.wait()
        runs[0].kill()

    # The engine reads the source the same way: most of the output has come to the client by then.
    reached = at(plane, Way.DOWN, size * 9 // 5, kill)
    runs.append(plane.start_dcctl(*transcode))
    begun.set()
    assert reached.wait(_REACHED_S)
    runs[0].communicate()
    [part] = out.iterdir()
    kept = part.stat().st_size
    assert kept > 1_000_000
    again = plane.start_dcctl(*transcode, "--progress", "json", "--json")
    code, told, err = finished(again)
    assert code == 0, err
    assert "a.mkv' goes on where it broke off" in err
    downloads = [json.loads(line) for line in err.splitlines() if '"download"' in line]
    assert downloads[0]["done_bytes"] >= kept
    assert leftovers(out) == ["a.mkv"]
    with (out / "a.mkv").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    assert digest == json.loads(told)["job"]["output"]["sha256"]


def test_an_upload_that_was_killed_before_there_was_a_job_goes_on(
    plane: MediaPlane, heavy: Path, out: Path
) -> None:
    size = heavy.stat().st_size
    transcode = ("transcode", heavy, "-p", "copy", "-o", out / "a.mkv", "--no-overlap")
    begun = threading.Event()
    runs: list[subprocess.Popen[str]] = []

    def kill() -> None:
        begun.wait()
        runs[0].kill()

    reached = at(plane, Way.UP, size // 2, kill)
    runs.append(plane.start_dcctl(*transcode))
    begun.set()
    assert reached.wait(_REACHED_S)
    runs[0].communicate()
    plane.engine.start()
    code, _, err = finished(plane.start_dcctl(*transcode, "--progress", "json"))
    assert code == 0, err
    assert f"{heavy.name}' goes on where it broke off" in err
    uploads = [json.loads(line) for line in err.splitlines() if '"upload"' in line]
    assert uploads[0]["done_bytes"] > size // 3
    assert leftovers(out) == ["a.mkv"]
    assert plane.dcctl("objects", "list")["objects"] == []


async def test_what_was_followed_of_a_result_is_spared_though_that_is_finished_by_now(
    plane: MediaPlane, heavy: Path, out: Path
) -> None:
    seen: list[Transfer] = []
    async with Client(plane.address) as client:
        stored = await client.upload(heavy)
        key = stream_key(bare(stored.name, "objects"))
        async with PartialFile(out / "a.mkv", overwrite=False, resume_key=key) as left:
            with heavy.open("rb") as file:  # a follower that was killed
                await left.append([file.read(stored.size_bytes // 3)])
        relay_of(plane).reset()
        following = client.followed(
            stored.name, out / "a.mkv", resume=True, on_progress=seen.append
        )
        async with following as followed:
            assert followed.followed_bytes == stored.size_bytes // 3
            await followed.place(stored)
    assert (out / "a.mkv").read_bytes() == heavy.read_bytes()
    assert relay_of(plane).count(Way.DOWN) < stored.size_bytes * 2 // 3 + (1 << 20)
    done = [transfer.done_bytes for transfer in seen]
    assert len(set(done)) > 2
    assert done == sorted(done)  # what was spared is not taken back
