"""What the lists of the settings hold, NAME=VALUE each, read. Every function raises ValueError."""

from collections.abc import Callable
from typing import TypeVar

from distconv.core.errors import InvalidArgumentError
from distconv.core.names import parse_tenant
from distconv.storage.locations import BucketLocation, Location, parse_location
from distconv.storage.names import check_pool

T = TypeVar("T")


def pool_pair(text: str, others: BucketLocation) -> tuple[str, Location]:
    """Return a pool and where it lies; `others` as `parse_location` wants them."""
    name, place = _pair(text, "NAME=FOLDER or NAME=s3://BUCKET/PREFIX")
    return _checked(check_pool, name), parse_location(place, others)


def capacity_pair(text: str) -> tuple[str, int]:
    """Return a pool and how many bytes it may hold."""
    name, size_bytes = _size_pair(text, "NAME=BYTES")
    return _checked(check_pool, name), size_bytes


def tenant_pool_pair(text: str) -> tuple[str, str]:
    """Return a tenant and the pool that it has."""
    tenant, pool = _pair(text, "TENANT=POOL")
    return _checked(parse_tenant, tenant), _checked(check_pool, pool)


def quota_pair(text: str) -> tuple[str, int]:
    """Return a tenant and how many bytes it may store."""
    tenant, size_bytes = _size_pair(text, "TENANT=BYTES")
    return _checked(parse_tenant, tenant), size_bytes


def _pair(text: str, form: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name or not value:
        raise ValueError(f"'{text}' is not {form}")
    return name, value


def _size_pair(text: str, form: str) -> tuple[str, int]:
    name, size = _pair(text, form)
    if not size.isdecimal():
        raise ValueError(f"'{text}' is not {form}")
    return name, int(size)


def _checked(check: Callable[[str], T], text: str) -> T:
    try:
        return check(text)
    except InvalidArgumentError as error:  # which settings would not take for theirs
        raise ValueError(error.message) from error
