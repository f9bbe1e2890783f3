"""Statements for many rows at once, as text, fed with plain values.

SQLAlchemy says how each type is written; going through its parameters for every
row costs several times what the database does. Each database takes many rows in
the way that costs it least: PostgreSQL an array for every column, SQLite a list
of rows.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from distconv.dispatch.store import dialects, postgresql_copy

_Encoder = Callable[[Any], Any]

# SQLite takes 32,766 parameters in a statement.
_MOST_PARAMETERS = 32_000
_MOST_ROWS = 512


class Statement(NamedTuple):
    """A text and its parameters, to be executed."""

    text: str
    parameters: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Copy:
    """Rows that go into a table by PostgreSQL's COPY."""

    table: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


# From so many rows on, COPY costs less than arrays of their columns: half of it for thousands.
_COPIED_ROWS = 64


class Bulk:
    """A statement and how many rows become its parameters."""

    def __init__(
        self, dialect: Dialect, columns: Sequence[sa.Column[Any]], text: Callable[[str, str], str]
    ) -> None:
        """`columns` are those of the rows' values.

        `text` makes the statement of how the rows are told, as a query and as a
        table named `given` whose columns are column1, column2 and so on.
        """
        self._text = text
        self._is_array = dialect.name == "postgresql"
        self._types = [_array_of(column.type) for column in columns]
        self._encoders = [
            (k, encoder)
            for k, column in enumerate(columns)
            if (encoder := _encoder(column.type, dialect)) is not None
        ]
        self._most_rows = min(_MOST_ROWS, _MOST_PARAMETERS // len(columns))
        self._texts: dict[int, str] = {}

    def statements(self, rows: Iterable[Sequence[Any]]) -> list[Statement]:
        """Return what writes the rows."""
        return self.of_columns(self.columns(rows))

    def of_columns(self, columns: list[list[Any]]) -> list[Statement]:
        """Return what writes the rows whose `columns` these are."""
        if not columns:
            return []
        if self._is_array:
            return [Statement(self._array_text(), columns)]
        return list(self._in_parts(list(zip(*columns, strict=True))))

    def columns(self, rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
        """Return the values of each column as the driver takes them; none without rows."""
        columns = [list(values) for values in zip(*rows, strict=True)]
        if columns:
            for k, encoder in self._encoders:
                columns[k] = _encoded(columns[k], encoder)
        return columns

    def _in_parts(self, rows: list[tuple[Any, ...]]) -> Iterable[Statement]:
        # Parts of powers of two: few different texts, so that each is parsed once.
        begin = 0
        while begin < len(rows):
            size = min(1 << (len(rows) - begin).bit_length() - 1, self._most_rows)
            part = rows[begin : begin + size]
            yield Statement(self._values_text(size), list(chain.from_iterable(part)))
            begin += size

    def _array_text(self) -> str:
        made = self._texts.get(0)
        if made is None:
            places = ", ".join(f"column{k}" for k in range(1, len(self._types) + 1))
            given = ", ".join(f"${k}::{kind}" for k, kind in enumerate(self._types, start=1))
            table = f"unnest({given}) AS given({places})"
            made = self._texts[0] = self._text(f"SELECT * FROM {table}", table)  # noqa: S608
        return made

    def _values_text(self, size: int) -> str:
        made = self._texts.get(size)
        if made is None:
            row = f"({', '.join('?' * len(self._types))})"
            values = f"VALUES {', '.join([row] * size)}"
            made = self._texts[size] = self._text(values, f"({values}) AS given")
        return made


def _encoded(values: Sequence[Any], encoder: _Encoder) -> list[Any]:
    """Encode a column. Neighbours are often one object: the instant, a profile, nothing."""
    last: Any = None
    text: Any = None
    encoded = []
    for value in values:
        if value is not last:
            last, text = value, None if value is None else encoder(value)
        encoded.append(text)
    return encoded


def _encoder(kind: sa.types.TypeEngine[Any], dialect: Dialect) -> _Encoder | None:
    if isinstance(kind, sa.Enum):
        return None  # its members are text themselves
    encoder: _Encoder | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return encoder


_ARRAYS: tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...] = (
    (sa.Boolean, "bool[]"),
    (sa.BigInteger, "int8[]"),
    (sa.Integer, "int4[]"),
    (sa.Float, "float8[]"),
    (sa.DateTime, "timestamptz[]"),
    (sa.String, "text[]"),
)


def _array_of(kind: sa.types.TypeEngine[Any]) -> str:
    plain = kind.impl if isinstance(kind, sa.types.TypeDecorator) else kind
    return next(name for known, name in _ARRAYS if isinstance(plain, known))


class BulkTable:
    """What is done to many rows of one table. Every name in a text is a column's of ours."""

    def __init__(self, dialect: Dialect, table: sa.Table) -> None:
        self._dialect = dialect
        self._table = table
        self._key = list(table.primary_key)
        columns = [column for column in table.c if not _is_numbered(column)]
        self.names = [column.name for column in columns]
        self.values: Callable[[Any], tuple[Any, ...]] = attrgetter(*self.names)
        key = [column.name for column in self._key]
        others = [column.name for column in columns if not column.primary_key]
        insert = f"INSERT INTO {table.name} ({dialects.names(self.names)})"
        self.insert = Bulk(dialect, columns, lambda query, _: f"{insert} {query}")
        self.insert_new = Bulk(
            dialect, columns, lambda query, _: dialects.passing_over(insert, query, key)
        )
        self.upsert = Bulk(
            dialect, columns, lambda query, _: dialects.replacing(insert, query, key, others)
        )
        delete = f"DELETE FROM {table.name} WHERE ({dialects.names(key)})"  # noqa: S608
        self.delete = Bulk(dialect, self._key, lambda query, _: f"{delete} IN ({query})")
        self._updates: dict[tuple[str, ...], Bulk] = {}

    def inserts(self, rows: Iterable[Sequence[Any]]) -> Sequence[Statement | Copy]:
        """Return what inserts rows in the way that suits their number."""
        columns = self.insert.columns(rows)
        if self._dialect.name != "postgresql" or not columns or len(columns[0]) < _COPIED_ROWS:
            return self.insert.of_columns(columns)
        return [Copy(self._table.name, self.names, list(zip(*columns, strict=True)))]

    def update(self, names: tuple[str, ...]) -> Bulk:
        """Return the statement that sets columns; its rows are their values, then the key's."""
        made = self._updates.get(names)
        if made is None:
            name, key = self._table.name, [column.name for column in self._key]
            made = self._updates[names] = Bulk(
                self._dialect,
                [*(self._table.c[name] for name in names), *self._key],
                lambda _, given: dialects.updating(name, given, names, key),
            )
        return made


def _is_numbered(column: sa.Column[Any]) -> bool:
    """Tell whether the database gives the column its values."""
    return column.primary_key and column.autoincrement is True


@cache
def bulk_table(dialect: Dialect, table: sa.Table) -> BulkTable:
    """Return the statements of a table."""
    return BulkTable(dialect, table)


async def execute(connection: AsyncConnection, script: Sequence[Statement | Copy]) -> None:
    """Execute statements in their order."""
    if connection.dialect.name == "sqlite":
        if script:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.run_script(script)
        return
    for step in script:
        if isinstance(step, Copy):
            await postgresql_copy.copy(connection, step.table, step.columns, step.rows)
        else:
            await connection.exec_driver_sql(step.text, tuple(step.parameters))
