"""Statements for many rows: compiled once, fed with plain tuples.

SQLAlchemy makes the text and says how each type is written; going through its
parameter handling for every row costs several times what the database does.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

_Encoder = Callable[[Any], Any]


class Bulk:
    """A statement and how its rows become its parameters."""

    def __init__(self, dialect: Dialect, statement: sa.UpdateBase, columns: Sequence[Any]) -> None:
        """`columns` are those of the rows' values, in the order in which they are given.

        A parameter of the statement is named after its column.
        """
        compiled = statement.compile(
            dialect=dialect, column_keys=[column.name for column in columns]
        )
        self._text = str(compiled)
        names = [column.name for column in columns]
        order = [names.index(name.removeprefix("k_")) for name in compiled.positiontup or ()]
        self._order = order if order != list(range(len(columns))) else None
        self._encoders = [
            (k, encoder)
            for k, column in enumerate(columns)
            if (encoder := _encoder(column.type, dialect)) is not None
        ]

    async def run(self, connection: AsyncConnection, rows: Iterable[Sequence[Any]]) -> None:
        """Execute the statement for every row."""
        parameters = [self._encode(row) for row in rows]
        if parameters:
            await connection.exec_driver_sql(self._text, parameters)

    def _encode(self, row: Sequence[Any]) -> tuple[Any, ...]:
        values = list(row)
        for k, encoder in self._encoders:
            if values[k] is not None:
                values[k] = encoder(values[k])
        return tuple(values) if self._order is None else tuple(values[k] for k in self._order)


def _encoder(kind: sa.types.TypeEngine[Any], dialect: Dialect) -> _Encoder | None:
    if isinstance(kind, sa.Enum):
        return None  # its members are text themselves
    encoder: _Encoder | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return encoder


class BulkTable:
    """Everything that is done to many rows of one table."""

    def __init__(self, dialect: Dialect, table: sa.Table) -> None:
        self._dialect = dialect
        self._table = table
        self._key = list(table.primary_key)
        self.names = [column.name for column in table.c if not _is_numbered(column)]
        self.values: Callable[[Any], tuple[Any, ...]] = attrgetter(*self.names)
        self.insert = Bulk(dialect, sa.insert(table), [table.c[name] for name in self.names])
        self.delete = Bulk(dialect, sa.delete(table).where(*self._is_row()), self._key)
        self._updates: dict[tuple[str, ...], Bulk] = {}

    def update(self, names: tuple[str, ...]) -> Bulk:
        """Return the statement that sets columns; its rows are their values, then the key's."""
        made = self._updates.get(names)
        if made is None:
            columns = [self._table.c[name] for name in names]
            statement = sa.update(self._table).where(*self._is_row())
            made = Bulk(self._dialect, statement, [*columns, *self._key])
            self._updates[names] = made
        return made

    def _is_row(self) -> list[sa.ColumnElement[bool]]:
        return [
            column == sa.bindparam(f"k_{column.name}", type_=column.type) for column in self._key
        ]


def _is_numbered(column: sa.Column[Any]) -> bool:
    """Tell whether the database gives the column its values."""
    return column.primary_key and column.autoincrement is True


@cache
def bulk_table(dialect: Dialect, table: sa.Table) -> BulkTable:
    """Return the statements of a table."""
    return BulkTable(dialect, table)
