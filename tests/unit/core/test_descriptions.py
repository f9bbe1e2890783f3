import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.descriptions import check_file_name, check_labels
from distconv.core.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "has 0 characters; allowed is 1 to 255"),
        ("a" * 256, "has 256 characters"),
        ("a" * 1000, "has 1000 characters"),
        (".", "without its folder"),
        ("..", "without its folder"),
        ("../etc/passwd", "without its folder"),
        ("..\\x", "without its folder"),
        ("a\0b", "the control character 0x00 at position 1"),
        ("a\nb", "the control character 0x0a at position 1"),
        ("\x7f", "the control character 0x7f at position 0"),
        ("Ka\u0308se.mp4", "Unicode's form NFC"),
    ],
)
def test_what_is_no_file_name_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why) as caught:
        check_file_name(name, field="file_name")
    assert caught.value.metadata["field"] == "file_name"


@given(st.text(min_size=1, max_size=300))
def test_a_name_is_taken_as_it_is_or_refused(name: str) -> None:
    try:
        assert check_file_name(name, field="f") == name
    except InvalidArgumentError:
        return
    assert len(name) <= 255
    assert "/" not in name
    assert unicodedata.normalize("NFC", name) == name


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"Upper": ""}, "key 'Upper'"),
        ({"": ""}, "key ''"),
        ({"k": "v" * 256}, "a value of 256 characters"),
        ({"k": "\0"}, "holds a NUL"),
        ({f"k{n}": "" for n in range(33)}, "33 labels"),
    ],
)
def test_labels_that_are_none_are_refused(labels: dict[str, str], why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        check_labels(labels, field="labels")


def test_labels_are_kept() -> None:
    assert check_labels({"a.b-c_1": "x y"}, field="labels") == {"a.b-c_1": "x y"}
