from pathlib import Path

import pytest

from distconv.core.clock import SystemClock
from distconv.core.errors import FailedPreconditionError
from distconv.core.ids import ID_LENGTH
from distconv.process.identity import load_or_make_id


def test_an_identity_is_made_once(tmp_path: Path):
    first = load_or_make_id(tmp_path / "deep", "engine", SystemClock())
    assert len(first) == ID_LENGTH
    assert load_or_make_id(tmp_path / "deep", "engine", SystemClock()) == first
    assert load_or_make_id(tmp_path / "other", "engine", SystemClock()) != first


@pytest.mark.parametrize("text", ["", "short", "x" * 17, "!" * 16, "\x00" * 16])
def test_what_is_no_id_is_refused_and_left_alone(tmp_path: Path, text: str):
    path = tmp_path / "engine-id"
    path.write_text(text)
    with pytest.raises(FailedPreconditionError, match="engine-id"):
        load_or_make_id(tmp_path, "engine", SystemClock())
    assert path.read_text() == text


def test_a_folder_that_cannot_be_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FailedPreconditionError, match="--data-dir"):
        load_or_make_id(tmp_path / "file" / "below", "engine", SystemClock())
