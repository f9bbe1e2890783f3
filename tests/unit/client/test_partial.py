# ruff: noqa: PT012  # what is tested is what leaving the block does
import errno
import fcntl
import hashlib
import os
from pathlib import Path

import pytest

from distconv.client.partial import PartialFile
from distconv.core.errors import AlreadyExistsError, DataLossError, DiskFullError

_DATA = b"a rendition" * 1000
_SHA256 = hashlib.sha256(_DATA).hexdigest()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_it_appears_whole(tmp_path: Path) -> None:
    async with PartialFile(tmp_path / "out.mp4", overwrite=False) as partial:
        await partial.append([_DATA[:100], _DATA[100:]])
        (waiting,) = _names(tmp_path)
        assert waiting.startswith(".out.mp4.part-")
        await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
        assert _names(tmp_path) == ["out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == _DATA


async def test_it_leaves_nothing_when_left_early(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        async with PartialFile(tmp_path / "out.mp4", overwrite=False) as partial:
            await partial.append([_DATA])
            raise RuntimeError
    assert _names(tmp_path) == []


async def test_the_next_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    orphan, held = tmp_path / ".a.mp4.part-0123abcd", tmp_path / ".a.mp4.part-89abcdef"
    kept = [tmp_path / ".b.mp4.part-0123abcd", tmp_path / ".a.mp4.part-somebody-goes-on"]
    for path in (orphan, held, *kept):
        path.write_bytes(b"half")
    with held.open("rb") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        async with PartialFile(tmp_path / "a.mp4", overwrite=False) as target:
            await target.append([b"whole"])
            await target.commit(size_bytes=5, sha256="")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.mp4", held, *kept])


@pytest.mark.parametrize(("size", "sha256"), [(len(_DATA) + 1, _SHA256), (len(_DATA), "0" * 64)])
async def test_it_refuses_what_is_not_whole(tmp_path: Path, size: int, sha256: str) -> None:
    with pytest.raises(DataLossError):
        async with PartialFile(tmp_path / "out.mp4", overwrite=False) as partial:
            await partial.append([_DATA])
            await partial.commit(size_bytes=size, sha256=sha256)
    assert _names(tmp_path) == []


async def test_it_never_replaces_what_came_meanwhile(tmp_path: Path) -> None:
    with pytest.raises(AlreadyExistsError):
        async with PartialFile(tmp_path / "out.mp4", overwrite=False) as partial:
            await partial.append([_DATA])
            (tmp_path / "out.mp4").write_text("mine")
            await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
    assert (tmp_path / "out.mp4").read_text() == "mine"
    assert _names(tmp_path) == ["out.mp4"]


async def test_overwriting_through_a_link_keeps_the_link(tmp_path: Path) -> None:
    (tmp_path / "real.mp4").write_text("old")
    (tmp_path / "link.mp4").symlink_to("real.mp4")
    async with PartialFile(tmp_path / "link.mp4", overwrite=True) as partial:
        await partial.append([_DATA])
        await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
    assert (tmp_path / "link.mp4").is_symlink()
    assert (tmp_path / "real.mp4").read_bytes() == _DATA


async def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskFullError, match=r"no room for the output '.*out\.mp4'"):
        async with PartialFile(tmp_path / "out.mp4", overwrite=False) as partial:
            monkeypatch.setattr(os, "write", full)
            await partial.append([_DATA])
    assert _names(tmp_path) == []


async def test_what_cannot_fit_is_refused_before_the_download(tmp_path: Path) -> None:
    async with PartialFile(tmp_path / "out.mp4", overwrite=False) as partial:
        with pytest.raises(DiskFullError):
            await partial.reserve(1 << 60)


async def test_a_long_name_still_fits(tmp_path: Path) -> None:
    name = "é" * 120 + ".mp4"
    async with PartialFile(tmp_path / name, overwrite=False) as partial:
        await partial.append([_DATA])
        await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
    assert (tmp_path / name).exists()


async def test_a_name_need_not_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    async with PartialFile(path, overwrite=False) as partial:
        await partial.append([_DATA])
        await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
    assert path.read_bytes() == _DATA


async def test_with_a_key_the_next_one_goes_on_where_the_last_one_was_left(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(RuntimeError):
        async with PartialFile(out, overwrite=False, resume_key="abc") as partial:
            await partial.append([_DATA[:5000]])
            raise RuntimeError
    assert _names(tmp_path) == [".out.mp4.part-abc"]
    async with PartialFile(out, overwrite=False, resume_key="abc") as partial:
        assert partial.written_bytes == 5000
        await partial.append([_DATA[5000:]])
        await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
    assert _names(tmp_path) == ["out.mp4"]
    assert out.read_bytes() == _DATA


async def test_with_a_key_what_proves_wrong_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / ".out.mp4.part-abc").write_bytes(b"x" * len(_DATA))
    out = tmp_path / "out.mp4"
    with pytest.raises(DataLossError, match="try again"):
        async with PartialFile(out, overwrite=False, resume_key="abc") as partial:
            await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
    assert _names(tmp_path) == []


async def test_with_a_key_what_is_longer_than_it_should_be_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / ".out.mp4.part-abc").write_bytes(b"x" * (len(_DATA) + 1))
    async with PartialFile(tmp_path / "out.mp4", overwrite=False, resume_key="abc") as partial:
        await partial.reserve(len(_DATA))
        assert partial.written_bytes == 0
        await partial.append([_DATA])
        await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
    assert (tmp_path / "out.mp4").read_bytes() == _DATA


async def test_with_a_key_two_at_once_do_not_write_into_one(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    async with PartialFile(out, overwrite=False, resume_key="abc") as partial:
        await partial.append([_DATA])
        with pytest.raises(AlreadyExistsError, match="under way"):
            async with PartialFile(out, overwrite=False, resume_key="abc"):
                pass
        await partial.commit(size_bytes=len(_DATA), sha256=_SHA256)
    assert out.read_bytes() == _DATA
