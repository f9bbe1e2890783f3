"""Where pools lie, as settings say it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from distconv.storage.locations import BucketLocation, parse_location
from distconv.storage.settings import StorageSettings

MAIN = BucketLocation(
    url="s3://media/main",
    endpoint="https://minio:9000",
    public_endpoint="https://minio.example",
    region="here",
)


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("/mnt/hdd", Path("/mnt/hdd")),
        ("s3://cold", BucketLocation(url="s3://cold", endpoint="https://minio:9000",
            public_endpoint="https://minio.example", region="here")),
        ("s3://cold/x?region=there", BucketLocation(url="s3://cold/x", region="there",
            endpoint="https://minio:9000", public_endpoint="https://minio.example")),
        ("s3://cold?endpoint=", BucketLocation(url="s3://cold")),
        ("s3://cold?endpoint=http://ceph:8000&region=there",
            BucketLocation(url="s3://cold", endpoint="http://ceph:8000", region="there")),
        ("gs://cold/x/", BucketLocation(url="gs://cold/x/")),  # another kind of object store
        ("az://cold?endpoint=http://azurite:10000/account",
            BucketLocation(url="az://cold", endpoint="http://azurite:10000/account")),
    ],
)  # fmt: skip
def test_a_pool_lies_in_a_folder_or_a_bucket(text: str, location: Path | BucketLocation) -> None:
    assert parse_location(text, MAIN) == location


def test_beside_a_folder_every_bucket_has_the_endpoint_of_the_settings() -> None:
    settings = StorageSettings.model_validate(
        {"pools": ["cold=s3://cold"], "bucket_endpoint": "http://minio:9000"}
    )
    assert settings.pool_locations == {
        "cold": BucketLocation(url="s3://cold", endpoint="http://minio:9000")
    }


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"pools": ["a=ftp://host/x"]}, "'ftp://host/x' is neither a folder nor a bucket"),
        ({"pools": ["a=s3://"]}, "neither a folder nor a bucket"),
        ({"pools": ["a=s3://key:secret@bucket"]}, "'s3://…@bucket' is neither"),
        ({"pools": ["a=s3://bucket?endpiont=x"]}, "'endpiont' of .* is not one of endpoint, "),
        ({"pools": ["a=s3://bucket?endpoint=minio:9000"]}, r"endpoint of .* is not http\(s\)://"),
        ({"pools": ["a=/x", "b=/x"]}, r"'a' \(/x\) and 'b' \(/x\) lie at one place"),
        ({"pools": ["a=/x", "a=/y"]}, "two pools have the same name"),
        ({"pools": ["a=/d/storage"], "data_dir": "/d"}, "'main' .* and 'a' .* lie at one place"),
        ({"pools": ["a=/d/storage/objects"], "data_dir": "/d"}, "one within the other"),
        ({"pools": ["a=/d"], "data_dir": "/d/e"}, "one within the other"),
        ({"pools": ["a=/x", "b=/y/../x/z"]}, "'a' .* and 'b' .* one within the other"),
        ({"pools": ["a=s3://bk/x", "b=s3://bk/x/"]}, "'a' .* and 'b' .* lie at one place"),
        ({"pools": ["a=s3://bk/x/y", "b=s3://bk/x"]}, "one within the other"),
        ({"pools": ["a=s3://bk/x"], "bucket_url": "s3://bk"}, "'main' .* and 'a' .* one within"),
        (
            {"pools": ["a=s3://bk?endpoint=http://h"], "bucket_url": "s3://bk/x",
             "bucket_endpoint": "http://h"},
            "one within the other",
        ),
        ({"pools": ["a=s3://bk?region=x&region=x"]}, "says 'region' more than once"),
        (
            {"pools": ["a=s3://bk?endpoint=http://key:secret@h:port"], "bucket_url": "s3://other"},
            "endpoint 'http://…@h:port' of s3://bk is no URL",
        ),
        ({"pools": ["a=/x"], "bucket_url": "s3://bk"}, "'a' is a folder, which one storage"),
    ],
)  # fmt: skip
def test_pools_that_cannot_be_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        StorageSettings.model_validate(settings)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("s3", "http://h:9000", "http://h:9000/"),
        ("s3", "http://h:9000", "http://H:9000"),
        ("s3", "http://h", "http://h.:80/"),
        ("s3", "https://h:443", "https://h"),
        ("s3", "", "https://s3.amazonaws.com"),
        ("s3", "https://s3.eu-central-1.amazonaws.com/", "https://s3.amazonaws.com"),
        ("s3", "https://s3.cn-north-1.amazonaws.com.cn", ""),
        ("s3", "http://[::1]:80", "http://[::1]"),
        ("gs", "", "https://storage.googleapis.com/"),
        ("az", "http://azurite:10000/account", "http://azurite:10000/account/"),
    ],
)
def test_an_endpoint_is_the_same_however_it_is_spelled(kind: str, one: str, other: str) -> None:
    pools = [f"a={kind}://bk/x?endpoint={one}", f"b={kind}://bk/x/y?endpoint={other}"]
    with pytest.raises(ValidationError, match="one within the other"):
        StorageSettings.model_validate({"pools": pools})


@pytest.mark.parametrize(
    "settings",
    [
        {"pools": ["a=s3://bk/x", "b=s3://bk/xy"]},
        {"pools": ["a=s3://bk/x", "b=gs://bk/x"]},
        {"pools": ["a=s3://bk/x", "b=s3://bk/x?endpoint=http://other"]},
        {"pools": ["a=s3://bk/x", "b=/b/x"]},
        {"pools": ["a=/d/storage-a", "b=/d/b"], "data_dir": "/d"},
        {"pools": ["a=s3://bk/x"], "bucket_url": "s3://bk/y"},
        {"pools": ["a=s3://bk?endpoint=http://h:9000", "b=s3://bk?endpoint=http://h:9001"]},
        {"pools": ["a=s3://bk", "b=s3://bk?endpoint=https://notamazonaws.com"]},
        {"pools": ["a=az://bk?endpoint=http://h/one", "b=az://bk?endpoint=http://h/other"]},
    ],
)
def test_pools_that_lie_apart_are_taken(settings: dict[str, Any]) -> None:
    assert StorageSettings.model_validate(settings).pool_locations


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "data" / "storage").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for folder in ("link/storage", "link/storage/new", "link"):
        with pytest.raises(ValidationError, match="one within the other"):
            StorageSettings.model_validate(
                {"data_dir": tmp_path / "data", "pools": [f"b={tmp_path / folder}"]}
            )
    apart = [f"b={tmp_path / 'link/b'}", f"c={tmp_path / 'circle'}"]
    assert StorageSettings.model_validate({"data_dir": tmp_path / "data", "pools": apart})
