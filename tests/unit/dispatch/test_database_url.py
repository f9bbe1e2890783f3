"""Where the database is, and that its password stays hidden."""

from pathlib import Path

import pytest

from distconv.core.errors import InvalidArgumentError
from distconv.dispatch.database_url import resolve
from distconv.dispatch.settings import DispatchSettings
from distconv.process.settings import show

URL = "postgresql://distconv:s3cret@db.example:5432/farm?application_name=x"


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        (URL, URL),
        ("postgres://distconv@db/farm", "postgresql://distconv@db/farm"),
        ("postgresql://[::1]:5433/farm", "postgresql://[::1]:5433/farm"),
    ],
)
def test_a_url_is_taken_as_it_is(url: str, whole: str) -> None:
    assert resolve(url, None) == whole


def test_a_password_in_a_file_takes_the_place_of_one_in_the_url(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("p@ss/word\n")
    resolved = resolve("postgresql://distconv:old@db:5432/farm", path)
    assert resolved == "postgresql://distconv:p%40ss%2Fword@db:5432/farm"


@pytest.mark.parametrize(
    "url",
    ["mysql://u:s3cret@db/farm", "postgresql://u:s3cret@db", "s3cret", "postgresql://[s3cret"],
)
def test_what_is_no_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="postgresql://user@host") as caught:
        resolve(url, None)
    assert "s3cret" not in caught.value.message


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="database_password_file"):
        resolve("postgresql://distconv@db/farm", tmp_path / "none")


def test_no_password_is_ever_shown() -> None:
    settings = DispatchSettings.model_validate(
        {"database_url": URL, "nats_url": ["nats://u:s3cret@n1:4222", "nats://u:s3cret@n2:4222"]}
    )
    text = show(settings, dict.fromkeys(DispatchSettings.model_fields, "default"))
    assert "s3cret" not in text + repr(settings)
    assert "postgresql://distconv:…@db.example:5432/farm" in text
    assert "n2:4222" in text
