"""The folder of a daemon has one owner of a kind."""

import os
from pathlib import Path

import pytest

from distconv.core.errors import FailedPreconditionError, UnavailableError
from distconv.process.data_dir import owned


def test_a_second_daemon_of_the_kind_is_told_who_has_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "engine"
    with owned(folder, "engine"):
        with (
            pytest.raises(
                FailedPreconditionError,
                match=rf"another engine \(process {os.getpid()}\) runs on .*engine; stop it, or",
            ),
            owned(folder, "engine"),
        ):
            pass
        with owned(folder, "dispatch"):  # another kind may
            pass
    with owned(folder, "engine"):  # the next may
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UnavailableError, match="file/engine cannot be used"),
        owned(tmp_path / "file" / "engine", "engine"),
    ):
        pass
