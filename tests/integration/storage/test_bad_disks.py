"""Storage on real file systems that are full, read-only, or gone."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from distconv.core.errors import (
    DiskFullError,
    FailedPreconditionError,
    UnavailableError,
)
from distconv.storage.testing import FakeFinisher, cut, running_storage
from distconv.v1 import object_pb2, profile_pb2

MIB = 1024 * 1024
CONTENT = os.urandom(3 * MIB)

_MOUNT, _UNMOUNT = shutil.which("mount") or "mount", shutil.which("umount") or "umount"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run([_MOUNT, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"this machine does not let mount: {done.stderr.strip()}")


def _unmount(disk: Path) -> None:
    subprocess.run([_UNMOUNT, "--lazy", disk], check=True, capture_output=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    _mount("-t", "tmpfs", "-o", "size=8m,mode=700", "distconv-test", disk)
    yield disk
    if disk.is_mount():
        _unmount(disk)


def _files(disk: Path, kind: str) -> list[str]:
    folder = disk / "storage" / "objects" / "local" / kind
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def test_a_full_disk_refuses_what_does_not_fit_and_keeps_what_does(small: Path) -> None:
    async with running_storage(small) as storage, storage.caller() as caller:
        await caller.put(CONTENT, object_id="0first")
        upload = await caller.create(object_id="0second")
        with pytest.raises(DiskFullError, match=r"the storage disk is full: .*free space there"):
            await caller.write(upload, cut(os.urandom(7 * MIB)))
        with pytest.raises(DiskFullError, match=r"has \d+ bytes left"):
            await caller.create(7 * MIB, object_id="0third")
        assert await caller.read(object_id="0first") == [CONTENT]
        await caller.abort(upload)
        await caller.put(CONTENT, object_id="0second")
        assert await caller.read(object_id="0second") == [CONTENT]
    assert len(_files(small, "objects")) == len(_files(small, "data")) == 2


async def test_a_disk_that_fills_while_an_output_is_finished_leaves_an_upload(small: Path) -> None:
    finisher = FakeFinisher()
    finisher.gate.set()
    finish = object_pb2.FinishSpec(container=profile_pb2.CONTAINER_MKV)
    async with running_storage(small, finisher=finisher) as storage, storage.caller() as caller:
        upload = await caller.create(len(CONTENT), finish=finish)
        await caller.write(upload, cut(CONTENT))
        ballast = small / "ballast"
        ballast.write_bytes(bytes(4 * MIB))  # the finished file finds no room
        finisher.error = DiskFullError("the storage disk is full")
        with pytest.raises(DiskFullError):
            await caller.complete(upload, CONTENT)
        assert _files(small, "objects") == _files(small, "data") == []
        ballast.unlink()
        finisher.error = None
        await caller.complete(upload, CONTENT)
        assert len(_files(small, "data")) == 1


async def test_a_read_only_disk_serves_reads_and_refuses_writes(small: Path) -> None:
    async with running_storage(small) as storage, storage.caller() as caller:
        await caller.put(CONTENT)
        upload = await caller.create(len(CONTENT), object_id="0other")
        await caller.write(upload, cut(CONTENT)[:4])
        await storage.app.uploads._table.close()  # files open for writing keep a disk read-write
        _mount("-o", "remount,ro", small)
        assert await caller.read() == [CONTENT]
        with pytest.raises(UnavailableError, match=r"Read-only file system.*mounted read-write"):
            await caller.create(object_id="0third")
        _mount("-o", "remount,rw", small)
        await caller.write(upload, cut(CONTENT))
        await caller.complete(upload, CONTENT)
        assert await caller.read(object_id="0other") == [CONTENT]


async def test_a_read_only_disk_is_told_of_at_the_start(small: Path) -> None:
    _mount("-o", "remount,ro", small)
    with pytest.raises(UnavailableError, match=r"the storage folder .*Read-only file system"):
        async with running_storage(small):
            pass


async def test_a_mount_that_vanishes_is_an_error_not_an_empty_storage(small: Path) -> None:
    async with running_storage(small) as storage, storage.caller() as caller:
        await caller.put(CONTENT)
        upload = await caller.create(len(CONTENT), object_id="0other")
        _unmount(small)
        with pytest.raises(UnavailableError, match="mount"):
            await caller.read()
        with pytest.raises(UnavailableError, match="mount"):
            await caller.create(object_id="0third")
        with pytest.raises((UnavailableError, FailedPreconditionError)):
            await caller.complete(upload, CONTENT)
    assert list(small.iterdir()) == []
