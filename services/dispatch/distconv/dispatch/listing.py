"""Filters, orders and page tokens of the list methods. Pure."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from distconv.core.errors import InvalidArgumentError
from distconv.core.names import is_id
from distconv.dispatch.store.queries import Order

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000

_CONDITION = re.compile(r"""\s*([a-z_]+)\s*=\s*("[^"]*"|[^\s"]+)\s*""")
_S = TypeVar("_S", bound=StrEnum)


def page_size(asked: int) -> int:
    """Return how many to list; 0 means the default. Raises InvalidArgumentError."""
    if not 0 <= asked <= MAX_PAGE_SIZE:
        raise InvalidArgumentError(
            f"page_size is {asked}; it must be 1 to {MAX_PAGE_SIZE}, or 0 for {DEFAULT_PAGE_SIZE}",
            field="page_size",
        )
    return asked or DEFAULT_PAGE_SIZE


def parse_filter(text: str, allowed: tuple[str, ...]) -> Mapping[str, str]:
    """Parse `name = value AND name = value`. Raises InvalidArgumentError."""
    found: dict[str, str] = {}
    for part in re.split(r"\s+AND\s+", text.strip()) if text.strip() else ():
        match = _CONDITION.fullmatch(part)
        if match is None or match[1] not in allowed or match[1] in found:
            raise InvalidArgumentError(
                f"the filter '{text[:120]}' is not understood at '{part[:60]}'; write "
                f"NAME = VALUE, joined by AND, with the names {', '.join(allowed)}",
                field="filter",
            )
        found[match[1]] = match[2].strip('"')
    return found


def parse_states(value: str | None, kind: type[_S]) -> frozenset[_S] | None:
    """Read the state of a filter; None is any. Raises InvalidArgumentError."""
    if value is None:
        return None
    name = value.upper().removeprefix("JOB_STATE_").removeprefix("ENGINE_STATE_")
    if name not in kind.__members__:
        raise InvalidArgumentError(
            f"'{value[:40]}' is not a state; the states are {', '.join(kind)}", field="filter"
        )
    return frozenset({kind[name]})


def parse_order(text: str) -> Order:
    """Read `order_by`; empty is newest first. Raises InvalidArgumentError."""
    words = " ".join(text.split()) or Order.NEWEST_FIRST.value
    try:
        return Order(words.removesuffix(" asc"))
    except ValueError:
        raise InvalidArgumentError(
            f"order_by is '{text[:60]}'; it must be one of: {'; '.join(Order)}", field="order_by"
        ) from None


def make_token(after: str, *of: str) -> str:
    """Make the token of the page behind `after`, good for the listing that `of` describes."""
    plain = json.dumps([after, _digest(of)], separators=(",", ":"))
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def read_token(token: str, *of: str) -> str:
    """Return what a token stands behind; empty for the first page. Raises InvalidArgumentError."""
    if not token:
        return ""
    try:
        padded = token + "=" * (-len(token) % 4)
        after, listing = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, TypeError):
        after, listing = "", ""
    if listing != _digest(of) or not isinstance(after, str) or not is_id(after):
        raise InvalidArgumentError(
            "the page token is not one that this listing gave; begin again without one",
            field="page_token",
        )
    return after


def _digest(of: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(of).encode()).hexdigest()[:12]
