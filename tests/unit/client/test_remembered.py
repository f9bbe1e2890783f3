import errno
import os
from pathlib import Path

import pytest

from distconv.client.remembered import RememberedUpload


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.mov"
    path.write_bytes(b"a video")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "uploads"


def remembered(source: Path, folder: Path, tenant: str = "") -> RememberedUpload:
    return RememberedUpload.of(source, folder=folder, server="a:1", tenant=tenant)


def test_what_was_remembered_is_there_next_time(source: Path, folder: Path) -> None:
    with remembered(source, folder) as memory:
        assert memory.object == ""
        memory.remember("objects/a-longer-name")
        memory.remember("objects/one")
    with remembered(source, folder) as memory:
        assert memory.object == "objects/one"


def test_what_is_forgotten_leaves_nothing(source: Path, folder: Path) -> None:
    with remembered(source, folder) as memory:
        memory.remember("objects/one")
        memory.forget()
    assert list(folder.iterdir()) == []
    with remembered(source, folder) as memory:
        assert memory.object == ""


def test_a_file_that_changed_is_another(source: Path, folder: Path) -> None:
    with remembered(source, folder) as memory:
        memory.remember("objects/one")
    os.utime(source, ns=(1, 1))
    with remembered(source, folder) as memory:
        assert memory.object == ""


def test_another_tenant_s_is_another(source: Path, folder: Path) -> None:
    with remembered(source, folder) as memory:
        memory.remember("objects/one")
    with remembered(source, folder, "other") as memory:
        assert memory.object == ""


def test_two_at_once_do_not_share_one(source: Path, folder: Path) -> None:
    with remembered(source, folder) as memory:
        memory.remember("objects/one")
        with remembered(source, folder) as second:
            assert second.object == ""
            second.remember("objects/two")
    with remembered(source, folder) as memory:
        assert memory.object == "objects/one"


def test_without_a_place_it_remembers_nothing_and_harms_nothing(source: Path) -> None:
    with remembered(source, source / "no folder") as memory:
        memory.remember("objects/one")
        assert memory.object == "objects/one"


@pytest.mark.parametrize("call", ["ftruncate", "pwrite"])
def test_a_place_that_takes_nothing_harms_nothing(
    call: str, source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with remembered(source, folder) as memory:
        memory.remember("objects/one")
        with monkeypatch.context() as full:
            full.setattr(os, call, refuse)
            memory.remember("objects/two")
        assert memory.object == "objects/two"
    # What was there before would be another upload's.
    with remembered(source, folder) as memory:
        assert memory.object == ""


def test_a_memory_that_cannot_be_removed_harms_nothing(
    source: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with remembered(source, folder) as memory:
        memory.remember("objects/one")
        memory.forget()
        monkeypatch.setattr(Path, "unlink", refuse)


def test_what_is_old_is_swept_away(source: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    old = folder / "old"
    old.write_text("objects/old")
    os.utime(old, (1, 1))
    with remembered(source, folder):
        pass
    assert not old.exists()
