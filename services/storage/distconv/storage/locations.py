"""Where pools lie, as settings say it: in a folder of this machine, or in a bucket."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

_BUCKET_URL = r"(?:s3|gs|az)://[A-Za-z0-9][A-Za-z0-9._-]{1,62}(?:/[A-Za-z0-9._/-]*)?"
_ENDPOINT_URL = r"https?://[^\s/]+(?:/\S*)?"
_HOW_TO_WRITE = (
    "write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX, and credentials into "
    "the environment"
)
_ENDPOINTS = ("endpoint", "public_endpoint")
_OPTIONS = (*_ENDPOINTS, "region")
# What a cloud's own endpoint is called when it is spelled out; names of buckets are one region's
# as another's. An Azure account has its own, which the URL of a container does not tell.
_OWN_HOSTS = {"s3": "amazonaws.com", "gs": "storage.googleapis.com"}
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketLocation:
    """A bucket and a prefix in it, `url`; what is empty is as the cloud has it."""

    url: str
    endpoint: str = ""
    public_endpoint: str = ""
    region: str = ""

    @property
    def scheme(self) -> str:
        """Return what kind of object store it is in: s3, gs or az."""
        return urlsplit(self.url).scheme

    @property
    def path(self) -> tuple[str, ...]:
        """Return what tells it from others of the same endpoint: the bucket, then its prefix."""
        parts = urlsplit(self.url)
        return (parts.netloc, *filter(None, parts.path.split("/")))

    @property
    def server(self) -> str:
        """Return its endpoint spelled in one way only, empty for the cloud's own.

        Raises ValueError for one that is no URL.
        """
        try:
            parts = urlsplit(self.endpoint)
            given_port = parts.port
        except ValueError as error:
            raise ValueError(
                f"the endpoint '{_without_credentials(self.endpoint)}' of {self.url} is no URL "
                f"({error}); write http(s)://HOST:PORT"
            ) from error
        host = (parts.hostname or "").removesuffix(".")
        own = _OWN_HOSTS.get(self.scheme)
        if not host or (own and f".{host}".removesuffix(".cn").endswith(f".{own}")):
            return ""
        port = given_port or _PORTS[parts.scheme]
        return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"


Location = Path | BucketLocation


def check_bucket(url: str) -> None:
    """Raise ValueError unless `url` is one of a bucket and a prefix in it."""
    if not re.fullmatch(_BUCKET_URL, url):
        raise ValueError(f"'{_without_credentials(url)}' is no bucket: {_HOW_TO_WRITE}")


def check_endpoint(url: str) -> None:
    """Raise ValueError unless an object store may listen at `url`."""
    if not re.fullmatch(_ENDPOINT_URL, url):
        raise ValueError(f"'{_without_credentials(url)}' is not http(s)://HOST:PORT")


def _without_credentials(url: str) -> str:
    return re.sub(r"://[^?&]*@", "://…@", url)


def parse_location(text: str, others: BucketLocation) -> Location:
    """Return the folder or bucket that `text` names.

    What the URL of a bucket leaves out is as in `others`, unless that is an
    object store of another kind, or the URL has an endpoint of its own. Raises
    ValueError.
    """
    if "://" not in text:
        return Path(text)
    url, _, query = text.partition("?")
    shown = _without_credentials(text)
    if not re.fullmatch(_BUCKET_URL, url):
        raise ValueError(f"'{shown}' is neither a folder nor a bucket: {_HOW_TO_WRITE}")
    options = parse_qsl(query, keep_blank_values=True)
    said = dict(options)
    if repeated := Counter(name for name, _ in options) - Counter(said.keys()):
        raise ValueError(f"'{shown}' says '{min(repeated)}' more than once; say it once")
    if wrong := sorted({*said} - {*_OPTIONS}):
        raise ValueError(f"'{wrong[0]}' of '{shown}' is not one of {', '.join(_OPTIONS)}")
    for name in _ENDPOINTS:
        if said.get(name) and not re.fullmatch(_ENDPOINT_URL, said[name]):
            raise ValueError(f"the {name} of '{shown}' is not http(s)://HOST:PORT")
    bucket = BucketLocation(url=url)
    if "endpoint" not in said and others.scheme in ("", bucket.scheme):
        bucket = replace(others, url=url)
    return replace(bucket, **said)


def require_buckets(pools: Mapping[str, Location]) -> None:
    """Raise ValueError when a pool beside a main bucket is a folder."""
    folder = next((name for name, there in pools.items() if isinstance(there, Path)), None)
    if folder is not None:
        raise ValueError(
            f"the pool '{folder}' is a folder, which one storage process has alone, and with "
            "bucket_url several may run: give the pool a bucket, too, as s3://BUCKET/PREFIX"
        )


def require_apart(pools: Mapping[str, Location]) -> None:
    """Raise ValueError when two pools lie at one place, or one within another.

    Links are followed, so that a folder counts as where it lies in truth.
    """
    for (one, here), (other, there) in combinations(pools.items(), 2):
        if _is_within(here, there) or _is_within(there, here):
            raise ValueError(
                f"the pools '{one}' ({_shown(here)}) and '{other}' ({_shown(there)}) lie at one "
                "place, or one within the other; give each a folder, a bucket or a prefix of its "
                "own"
            )


def _is_within(inner: Location, outer: Location) -> bool:
    if isinstance(inner, Path) and isinstance(outer, Path):
        return _real(inner).is_relative_to(_real(outer))
    return (
        isinstance(inner, BucketLocation)
        and isinstance(outer, BucketLocation)
        and (inner.scheme, inner.server) == (outer.scheme, outer.server)
        and inner.path[: len(outer.path)] == outer.path
    )


def _real(folder: Path) -> Path:
    # Path.resolve() raises RuntimeError for links in a circle.
    return Path(os.path.realpath(folder))


def _shown(location: Location) -> str:
    return location.url if isinstance(location, BucketLocation) else str(location)
