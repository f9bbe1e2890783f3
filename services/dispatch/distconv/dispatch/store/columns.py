"""Column types: aware times, and domain values as JSON text; the same on every database."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, get_origin

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from distconv.core.ids import ID_LENGTH

# Ids are compared and cut byte by byte; a locale's order would break prefixes and pages.
Id = sa.String(ID_LENGTH).with_variant(sa.String(ID_LENGTH, collation="C"), "postgresql")


def Exact(length: int) -> sa.types.TypeEngine[str]:  # noqa: N802  # used as a type
    """Return a text type that is compared character by character, on every database."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


# SQLite numbers rows by itself only in a column that is exactly INTEGER.
RowNumber = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class UtcTime(TypeDecorator[datetime]):
    """An aware time, stored as UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Turn to UTC; SQLite keeps no zone, and text of one form."""
        return _utc_text if dialect.name == "sqlite" else _utc

    def result_processor(
        self,
        dialect: Dialect,
        coltype: object,  # noqa: ARG002  # the library's signature
    ) -> Any:
        """Say that it is UTC."""
        return _of_utc_text if dialect.name == "sqlite" else None


def _utc(value: datetime | None) -> datetime | None:
    return value if value is None or value.tzinfo is UTC else value.astimezone(UTC)


# Most of the times of a change are its own.
@lru_cache(maxsize=1024)
def _utc_text(value: datetime | None) -> str | None:
    # The form in which SQLite's own functions and SQLAlchemy write times, without the zone.
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(" ", "microseconds")[:-6]


def _of_utc_text(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


class Span(TypeDecorator[timedelta]):
    """A span of time, stored as whole microseconds."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(
        self,
        value: timedelta | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> int | None:
        """Count the microseconds."""
        return None if value is None else value // timedelta(microseconds=1)

    def process_result_value(
        self,
        value: int | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> timedelta | None:
        """Make a span of them."""
        return None if value is None else timedelta(microseconds=value)


# So many values of a column are kept, and texts of so many characters at most.
_MOST_KEPT = 500
_LONGEST_KEPT = 8000


class JsonValue(TypeDecorator[Any]):
    """A domain value as JSON text, checked against its type when it is read.

    Fields that an older or newer version has besides are passed over.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.kind = kind
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        # Few distinct values make up most of a table: profiles, what engines can do, nothing.
        # They cannot be altered, so one object stands for all that are equal. A mapping could.
        self._is_shared = get_origin(kind) is not Mapping
        self._known: dict[str, Any] = {}
        self._written: dict[int, tuple[Any, str]] = {}

    def bind_processor(self, dialect: Dialect) -> Any:  # noqa: ARG002
        """Write values; None stays NULL."""
        return self._write

    def result_processor(
        self,
        dialect: Dialect,  # noqa: ARG002
        coltype: object,  # noqa: ARG002
    ) -> Any:
        """Read values."""
        return self._read

    def _write(self, value: Any) -> str | None:
        if value is None:
            return None
        known = self._written.get(id(value))
        if known is not None:
            return known[1]
        text = self._adapter.dump_json(value).decode()
        if self._is_shared:
            # The value is kept with its text: as long as it is, no other has its id.
            _bound(self._written)[id(value)] = (value, text)
        return text

    def _read(self, text: str | None) -> Any:
        if text is None:
            return None
        value = self._known.get(text)
        if value is None:
            value = self._adapter.validate_json(text)
            if self._is_shared and len(text) <= _LONGEST_KEPT:
                _bound(self._known)[text] = value
        return value


def _bound(kept: dict[Any, Any]) -> dict[Any, Any]:
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    return kept
