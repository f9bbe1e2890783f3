"""Column types: aware times, and domain values as JSON text; the same on every database."""

from datetime import UTC, datetime, timedelta
from typing import Any

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

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn to UTC; SQLite keeps no zone."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002  # the library's signature
    ) -> datetime | None:
        """Say that it is UTC."""
        return None if value is None else value.replace(tzinfo=value.tzinfo or UTC)


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

    def process_bind_param(
        self,
        value: Any,
        dialect: Dialect,  # noqa: ARG002
    ) -> str | None:
        """Write the value; None stays NULL."""
        return None if value is None else self._adapter.dump_json(value).decode()

    def process_result_value(
        self,
        value: str | None,
        dialect: Dialect,  # noqa: ARG002
    ) -> Any:
        """Read the value."""
        return None if value is None else self._adapter.validate_json(value)
