import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from distconv.client.local import check_output, check_room, check_source, sendable_name
from distconv.core.errors import (
    AlreadyExistsError,
    CorruptSourceError,
    DiskFullError,
    InvalidArgumentError,
    PermissionDeniedError,
)


def test_a_source_has_its_size(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"12345")
    assert check_source(tmp_path / "a.mp4") == 5


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(CorruptSourceError, match="empty"):
        check_source(tmp_path / "empty.mp4")
    for path, why in (
        (tmp_path / "missing.mp4", "does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe.mp4", "not a regular file"),
        (tmp_path / "empty.mp4" / "below.mp4", "does not exist"),
        (tmp_path / ("x" * 300), "cannot be read"),
    ):
        with pytest.raises(InvalidArgumentError, match=why) as caught:
            check_source(path)
        assert caught.value.field == "source"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read and write everything")
def test_permissions(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "a.mp4").chmod(0)
    with pytest.raises(InvalidArgumentError, match="permission denied"):
        check_source(tmp_path / "a.mp4")
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(PermissionDeniedError):
        check_output(tmp_path / "closed" / "out.mp4", overwrite=False)


def test_outputs(tmp_path: Path) -> None:
    check_output(tmp_path / "out.mp4", overwrite=False)
    (tmp_path / "out.mp4").touch()
    check_output(tmp_path / "out.mp4", overwrite=True)
    with pytest.raises(AlreadyExistsError, match="--overwrite"):
        check_output(tmp_path / "out.mp4", overwrite=False)
    with pytest.raises(InvalidArgumentError, match="does not exist"):
        check_output(tmp_path / "none" / "out.mp4", overwrite=False)
    with pytest.raises(InvalidArgumentError, match="is a folder"):
        check_output(tmp_path, overwrite=True)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InvalidArgumentError, match="not a regular file"):
        check_output(tmp_path / "pipe.mp4", overwrite=True)


def test_a_link_that_leads_nowhere_stands_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").symlink_to(tmp_path / "gone")
    with pytest.raises(InvalidArgumentError):
        check_output(tmp_path / "out.mp4", overwrite=False)


def test_room(tmp_path: Path) -> None:
    check_room(tmp_path, 1, what="x")
    with pytest.raises(DiskFullError, match="no room for x"):
        check_room(tmp_path, 1 << 60, what="x")


def test_a_full_disk_is_told_without_a_need_that_nobody_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1234))
    with pytest.raises(DiskFullError, match=r"is full \(1,234 bytes free\);"):
        check_output(tmp_path / "out.mp4", overwrite=False)


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("Käse 日本 🎬.mp4", "Käse 日本 🎬.mp4"),
        (os.fsdecode(b"caf\xe9.mp4"), "caf\ufffd.mp4"),
        ("two\nlines\x7f.mp4", "two_lines_.mp4"),
        ("back\\slash.mp4", "back_slash.mp4"),
        ("Ka\u0308se.mp4", "K\u00e4se.mp4"),
        ("a" * 300 + ".mp4", "a" * 251 + ".mp4"),
        ("", ""),
    ],
)
def test_any_name_is_sent_as_text_that_a_server_takes(name: str, sent: str) -> None:
    assert sendable_name(name) == sent
