import pytest

from distconv.core.errors import InvalidArgumentError
from distconv.storage.names import Place, UploadId, parse_data, parse_object, shown

BAD_IDS = [
    "",
    "..",
    ".",
    "../../etc/passwd",
    "a/b",
    "a\\b",
    "a\0b",
    "a\nb",
    "A",
    "ä",
    "e\u0301",
    "-a",
    "_a",
    " a",
    "a ",
    "a" * 65,
    "a" * 1000,
    "a~b",
    "a.b",
    "%2e%2e",
]


@pytest.mark.parametrize("bad", BAD_IDS, ids=ascii)
def test_a_bad_object_name_is_refused_with_its_field(bad: str) -> None:
    with pytest.raises(InvalidArgumentError, match="does not name an object") as caught:
        parse_object(f"objects/{bad}", field="object")
    assert caught.value.field == "object"
    assert len(caught.value.message) < 250
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "bad", ["0abc", "uploads/0abc", "OBJECTS/0abc", "/objects/0abc", "objects"]
)
def test_an_object_name_needs_its_collection(bad: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_object(bad, field="name")


def test_a_good_name_comes_back() -> None:
    assert parse_object("objects/0abc-d_9", field="name") == "0abc-d_9"


@pytest.mark.parametrize("bad", BAD_IDS, ids=ascii)
def test_no_key_is_built_from_a_bad_id(bad: str) -> None:
    with pytest.raises(InvalidArgumentError):
        Place(tenant=bad, object_id="0abc")
    with pytest.raises(InvalidArgumentError):
        Place(tenant="local", object_id=bad)


def test_an_upload_id_survives_its_name() -> None:
    upload_id = UploadId.new("0abc")
    assert UploadId.parse(upload_id.name, field="name") == upload_id
    assert UploadId.new("0abc") != upload_id


@pytest.mark.parametrize(
    "bad",
    ["", "uploads/", "uploads/0abc", "uploads/0abc.", "uploads/..", "uploads/0abc.0123456789ag"],
)
def test_a_bad_upload_name_is_refused(bad: str) -> None:
    with pytest.raises(InvalidArgumentError, match="does not name an upload"):
        UploadId.parse(bad, field="name")


def test_a_staging_key_tells_its_object() -> None:
    place, upload_id = Place(tenant="t1", object_id="0abc"), UploadId.new("0abc")
    assert parse_data(place.staging_key(upload_id)) == (place, upload_id.nonce)


def test_text_is_shown_short_and_printable() -> None:
    assert shown("a" * 1000) == f"'{'a' * 60}…'"
    assert shown("a\0\u202e") == r"'a\x00\u202e'"
