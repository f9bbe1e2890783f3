import errno
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.errors import DiskFullError, FailedPreconditionError, UnavailableError
from distconv.engine.scratch import Scratch, attempt_folder, scratch_errors


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Scratch]:
    made = Scratch(tmp_path, quota_bytes=1000)
    made.open()
    yield made
    made.close()


def test_attempts_together_never_have_more_than_the_quota(scratch: Scratch) -> None:
    assert scratch.reserve("a", 600) == ""
    refusal = scratch.reserve("b", 500)
    assert "needs 500 bytes" in refusal
    assert "400 of the 1000" in refusal
    assert scratch.reserve("c", 400) == ""
    assert scratch.free_bytes == 0
    scratch.release("a")
    scratch.release("a")
    assert scratch.free_bytes == 600


def test_an_attempt_that_streams_reserves_nothing(scratch: Scratch) -> None:
    scratch.reserve("a", 1000)
    assert scratch.reserve("b", 0) == ""


@given(st.text(max_size=80))
def test_the_folder_of_an_attempt_lies_within_whatever_it_is_called(name: str) -> None:
    folder = attempt_folder(Path("/scratch"), name)
    assert folder.parent == Path("/scratch")
    assert folder.name.startswith("attempt-")


def test_what_a_killed_runner_left_is_removed(scratch: Scratch) -> None:
    folder = attempt_folder(scratch.folder, "jobs/j/tasks/t/attempts/a")
    folder.mkdir()
    (folder / "source").write_bytes(b"x")
    scratch.remove("jobs/j/tasks/t/attempts/b")
    assert folder.exists()
    scratch.remove("jobs/j/tasks/t/attempts/a")
    assert not folder.exists()


def test_without_a_quota_it_takes_most_of_what_is_free(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, quota_bytes=None)
    scratch.open()
    assert scratch.quota_bytes > 0
    assert scratch.free_bytes <= scratch.quota_bytes
    scratch.close()


def test_a_folder_that_cannot_be_made_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FailedPreconditionError, match="choose another"):
        Scratch(tmp_path / "file" / "scratch", quota_bytes=1).open()


def test_what_the_disk_says_is_told_apart() -> None:
    with pytest.raises(DiskFullError, match="no room"), scratch_errors("it"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(UnavailableError, match="read-only"), scratch_errors("it"):
        raise OSError(errno.EROFS, "read-only")
