"""An original is never replaced, whatever its output is called and whatever is allowed."""

import os
from pathlib import Path

import pytest

from distconv.client.local import check_output
from distconv.core.errors import InvalidArgumentError


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mkv"
    path.write_bytes(b"the only copy")
    return path


def test_the_input_is_no_output_even_with_overwrite(film: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="never replaced"):
        check_output(film, overwrite=True, source=film)


def test_a_link_to_the_input_is_no_output_either(film: Path) -> None:
    symbolic, hard = film.with_name("symbolic.mkv"), film.with_name("hard.mkv")
    symbolic.symlink_to(film)
    os.link(film, hard)
    for output in (symbolic, hard, film.parent / "." / "film.mkv"):
        with pytest.raises(InvalidArgumentError, match="never replaced"):
            check_output(output, overwrite=True, source=film)


def test_another_file_may_be_replaced(film: Path) -> None:
    other = film.with_name("other.mkv")
    other.write_bytes(b"")
    check_output(other, overwrite=True, source=film)
