"""What is the local disk's own, beside the contract of all providers."""

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distconv.core.errors import (
    DiskFullError,
    DistconvError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from distconv.storage.providers import journal, local_files, local_staging
from distconv.storage.providers.disk_errors import disk_errors
from distconv.storage.providers.local import LocalProvider
from distconv.storage.threads import Threads

KEY = "t1/data/0abc"
STAGING = "t1/data/0abc.0123456789ab"


@pytest.fixture
async def local(tmp_path: Path, threads: Threads) -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(tmp_path, threads)
    await provider.start()
    yield provider
    await provider.close()


async def _abandoned(local: LocalProvider) -> None:
    """Leave what a killed process leaves: one range synced, one only written."""
    staging = await local.stage(STAGING)
    await staging.write([(0, b"a" * 100)])
    await staging.sync()
    await staging.write([(100, b"b" * 100)])
    await staging.close()


async def test_a_killed_process_loses_nothing_that_it_wrote(local: LocalProvider) -> None:
    await _abandoned(local)
    again = await local.stage(STAGING)
    assert list(again.durable) == [(0, 200)]
    await again.close()


async def test_a_crashed_machine_keeps_what_was_synced(
    local: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _abandoned(local)
    monkeypatch.setattr(journal, "boot_id", lambda: b"another boot")
    for _ in range(2):  # and what was found is on record under the new boot
        again = await local.stage(STAGING)
        assert list(again.durable) == [(0, 100)]
        await again.close()


async def test_ranges_behind_the_end_of_the_file_are_not_believed(
    local: LocalProvider, tmp_path: Path
) -> None:
    await _abandoned(local)
    (part,) = (tmp_path / "staging").glob("*.part")
    os.truncate(part, 50)
    again = await local.stage(STAGING)
    assert list(again.durable) == [(0, 50)]
    await again.close()


async def test_a_long_journal_is_rewritten_and_says_the_same(
    local: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_staging, "_JOURNAL_LIMIT_BYTES", 200)
    staging = await local.stage(STAGING)
    for at in range(50):
        await staging.write([(at * 2, b"x")])
        await staging.sync()
        await staging.write([(at * 2 + 1, b"x")])
    await staging.close()
    (file,) = (tmp_path / "staging").glob("*.journal")
    assert file.stat().st_size < 400
    assert file.stat().st_mode & 0o777 == 0o600
    again = await local.stage(STAGING)
    assert list(again.durable) == [(0, 100)]
    await again.close()


async def test_a_failed_sync_forgets_what_it_did_not_save(
    local: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    staging = await local.stage(STAGING)
    await staging.write([(0, b"a")])
    await staging.sync()
    await staging.write([(1, b"b")])

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(UnavailableError, match="Input/output error"):
            await staging.sync()
    assert list(staging.written) == list(staging.durable) == [(0, 1)]
    await staging.close()
    again = await local.stage(STAGING)
    assert list(again.durable) == [(0, 1)]
    await again.close()


async def test_without_hard_links_publishing_copies(
    local: LocalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    staging = await local.stage(STAGING)
    await staging.write([(0, b"abc")])
    await staging.publish(KEY, 3)
    await staging.discard()
    assert await local.get(KEY) == b"abc"


async def test_a_put_that_fails_leaves_the_old_thing_and_no_trace(
    local: LocalProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await local.put(KEY, b"old")

    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DiskFullError, match=f"{KEY} cannot be written"):
        await local.put(KEY, b"new")
    assert await local.get(KEY) == b"old"
    assert not list((tmp_path / "scratch").iterdir())


async def test_what_a_crash_left_in_scratch_is_removed(tmp_path: Path, threads: Threads) -> None:
    (tmp_path / "scratch" / "folder").mkdir(parents=True)
    (tmp_path / "scratch" / "folder" / "file").write_bytes(b"x")
    (tmp_path / "scratch" / "put-1").write_bytes(b"x")
    provider = LocalProvider(tmp_path, threads)
    await provider.start()
    assert not list((tmp_path / "scratch").iterdir())
    await provider.close()


async def test_one_process_holds_the_folder(local: LocalProvider, tmp_path: Path) -> None:
    threads = Threads(1)
    second = LocalProvider(tmp_path, threads)
    with pytest.raises(UnavailableError, match="another storage process uses"):
        await second.start()
    await local.close()
    await second.start()
    await second.close()
    threads.close()


async def test_a_vanished_folder_is_a_disk_that_failed(
    local: LocalProvider, tmp_path: Path
) -> None:
    (tmp_path / "staging").rmdir()
    with pytest.raises(UnavailableError, match="see that it is mounted and sound"):
        await local.stage(STAGING)


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, DiskFullError, "free space there"),
        (errno.EDQUOT, DiskFullError, "free space there"),
        (errno.EFBIG, DiskFullError, "ulimit -f"),
        (errno.EMFILE, ResourceExhaustedError, "ulimit -n"),
        (errno.EROFS, UnavailableError, "mounted read-write"),
        (errno.EACCES, UnavailableError, "belongs to the storage process"),
        (errno.EIO, UnavailableError, "mounted and sound"),
        (errno.ENOENT, UnavailableError, "mounted and sound"),
    ],
)
def test_the_systems_word_becomes_a_sentence_without_a_path(
    number: int, error: type[DistconvError], words: str
) -> None:
    with pytest.raises(error, match=words) as caught, disk_errors(KEY):
        raise OSError(number, os.strerror(number), "/secret/path")
    assert caught.value.metadata["key"] == KEY
    assert "/secret" not in caught.value.message


def test_only_a_reader_finds_nothing() -> None:
    with pytest.raises(NotFoundError, match=KEY), disk_errors(KEY, reading=True):
        raise FileNotFoundError(errno.ENOENT, "x", "/secret/path")


def test_a_short_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: real(fd, bytes(data)[:3], at))
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    local_files.write_pieces(fd, [(0, b"0123456789"), (10, b"ab")])
    os.close(fd)
    assert (tmp_path / "f").read_bytes() == b"0123456789ab"
