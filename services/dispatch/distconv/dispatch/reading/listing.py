"""Page sizes, orders and page tokens of the list methods. Pure."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeVar

from distconv.core.errors import InvalidArgumentError
from distconv.core.names import is_id

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

# What a list is ordered by, beside the id that breaks ties.
SortValue = datetime | int | str | None
_O = TypeVar("_O", bound=StrEnum)


def page_size(asked: int) -> int:
    """Return how many to list; 0 means the default. Raises InvalidArgumentError."""
    if not 0 <= asked <= MAX_PAGE_SIZE:
        raise InvalidArgumentError(
            f"page_size is {asked}; it must be 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}",
            field="page_size",
        )
    return asked or DEFAULT_PAGE_SIZE


def parse_order(text: str, orders: type[_O], default: _O) -> _O:
    """Read `order_by`, as `FIELD`, `FIELD asc` or `FIELD desc`. Raises InvalidArgumentError."""
    words = " ".join(text.split()) or default.value
    try:
        return orders(words.removesuffix(" asc"))
    except ValueError:
        raise InvalidArgumentError(
            f"order_by is '{text[:60]}'; it must be one of: {'; '.join(orders)}", field="order_by"
        ) from None


def make_token(of: Iterable[str], after: str, value: SortValue = None) -> str:
    """Make the token of the page behind `after`, good for the listing that `of` describes.

    `value` is what the listing is ordered by, of the last of the page.
    """
    plain = json.dumps([after, _plain(value), _digest(of)], separators=(",", ":"))
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def read_token(token: str, of: Iterable[str]) -> tuple[str, SortValue]:
    """Return what a token stands behind, an id and a value; empty for the first page.

    Raises InvalidArgumentError for a token of another listing, or of none.
    """
    if not token:
        return "", None
    try:
        padded = token + "=" * (-len(token) % 4)
        after, value, listing = json.loads(
            base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        )
        if listing == _digest(of) and isinstance(after, str) and is_id(after):
            return after, _sort_value(value)
    except (ValueError, binascii.Error, TypeError, KeyError, OverflowError):
        pass
    raise InvalidArgumentError(
        "the page token is not one that this listing gave; begin again without one",
        field="page_token",
    )


def _plain(value: SortValue) -> object:
    if isinstance(value, datetime):
        return {"t": value.astimezone(UTC).isoformat()}
    return value


def _sort_value(plain: object) -> SortValue:
    if isinstance(plain, dict):
        return datetime.fromisoformat(plain["t"]).astimezone(UTC)
    if plain is None or (isinstance(plain, int | str) and not isinstance(plain, bool)):
        return plain
    raise ValueError(plain)


def _digest(of: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(of).encode()).hexdigest()[:12]
