"""Folders of pools that belong together, and what is said when one is missing."""

from pathlib import Path

import pytest

from distconv.core.errors import FailedPreconditionError
from distconv.storage.providers.mounts import FILE, Mounts


class Folders:
    """A main folder and two pools, that mount, vanish and hold things."""

    def __init__(self, root: Path) -> None:
        self.main = root / "main"
        self.pools = {name: root / name for name in ("fast", "archive")}
        self.make(self.main, *self.pools.values())

    def make(self, *folders: Path) -> None:
        for folder in folders:
            for part in ("objects", "staging", "scratch"):
                (folder / part).mkdir(parents=True)

    def fill(self, *folders: Path) -> None:
        for folder in folders:
            (folder / "objects" / "t1").mkdir()
            (folder / "objects" / "t1" / "0abc").touch()

    def unmount(self, folder: Path) -> None:
        folder.rename(folder.with_suffix(".away"))
        folder.mkdir()

    def mount(self, folder: Path) -> None:
        folder.rmdir()
        folder.with_suffix(".away").rename(folder)

    @property
    def mounts(self) -> Mounts:
        return Mounts(self.main, self.pools)

    def words(self, folder: Path) -> list[str]:
        return (folder / FILE).read_text().split()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def test_new_folders_are_marked_once(folders: Folders) -> None:
    folders.mounts.check()
    folders.mounts.mark()
    storage_id, *pools = folders.words(folders.main)
    assert pools == ["main", "fast", "archive"]
    for name, folder in folders.pools.items():
        assert folders.words(folder) == [storage_id, name]
    folders.mounts.mark()
    assert folders.words(folders.main) == [storage_id, *pools]


def test_what_an_earlier_version_filled_is_taken(folders: Folders) -> None:
    folders.fill(folders.main, folders.pools["fast"])
    folders.mounts.mark()
    folders.mounts.check()


@pytest.mark.parametrize("marked", [True, False])
def test_a_main_folder_that_is_not_mounted_is_missed(folders: Folders, marked: bool) -> None:
    folders.fill(folders.main, *folders.pools.values())
    if marked:
        folders.mounts.mark()
    folders.unmount(folders.main)
    with pytest.raises(FailedPreconditionError, match=r"main.*pool 'fast'.*is mounted"):
        folders.mounts.check()
    with pytest.raises(FailedPreconditionError):
        folders.mounts.mark()
    folders.mount(folders.main)
    folders.mounts.check()


def test_a_pool_that_is_not_mounted_is_missed(folders: Folders) -> None:
    folders.mounts.mark()
    folders.unmount(folders.pools["archive"])
    with pytest.raises(FailedPreconditionError, match=r"pool 'archive' is not in .*is mounted"):
        folders.mounts.check()
    folders.mount(folders.pools["archive"])
    folders.mounts.check()


def test_a_lost_pool_begins_anew_once_its_line_is_written(folders: Folders) -> None:
    folders.mounts.mark()
    archive = folders.pools["archive"]
    folders.unmount(archive)
    with pytest.raises(FailedPreconditionError) as refused:
        folders.mounts.check()
    line = refused.value.message.split("write '")[1].split("'")[0]
    (archive / FILE).write_text(line)
    folders.mounts.check()


def test_pools_whose_disks_are_exchanged_are_refused(folders: Folders) -> None:
    folders.mounts.mark()
    fast, archive = folders.pools.values()
    folders.pools = {"fast": archive, "archive": fast}
    with pytest.raises(FailedPreconditionError, match=r"set as the storage pool 'fast', is the"):
        folders.mounts.check()


def test_the_pool_of_another_storage_is_refused(folders: Folders, tmp_path: Path) -> None:
    other = Folders(tmp_path / "other")
    for each in (folders, other):
        each.mounts.mark()
    folders.pools["fast"] = other.pools["fast"]
    with pytest.raises(FailedPreconditionError, match="of storage "):
        folders.mounts.check()


def test_an_empty_pool_is_added_and_a_full_one_refused(folders: Folders, tmp_path: Path) -> None:
    folders.fill(folders.main)
    folders.mounts.mark()
    folders.pools["third"] = tmp_path / "third"
    folders.make(folders.pools["third"])
    folders.mounts.mark()
    assert "third" in folders.words(folders.main)
    folders.pools["fourth"] = tmp_path / "fourth"
    folders.make(folders.pools["fourth"])
    folders.fill(folders.pools["fourth"])
    with pytest.raises(FailedPreconditionError, match=r"new storage pool 'fourth', holds objects"):
        folders.mounts.check()


def test_a_crash_while_marking_is_made_good(folders: Folders) -> None:
    folders.mounts.mark()
    before = folders.words(folders.main)
    (folders.main / FILE).write_text(f"{before[0]} main\n")  # cut off after the pools' own
    (folders.pools["archive"] / FILE).unlink()  # or between them
    folders.mounts.mark()
    assert folders.words(folders.main) == before


def test_a_damaged_mark_is_told_of(folders: Folders) -> None:
    folders.mounts.mark()
    (folders.pools["fast"] / FILE).write_bytes(b"\xff")
    with pytest.raises(FailedPreconditionError, match="is damaged; restore it"):
        folders.mounts.check()


def test_without_pools_nothing_is_marked(folders: Folders) -> None:
    folders.pools = {}
    folders.mounts.mark()
    assert not (folders.main / FILE).exists()
