"""The SQL that each database writes in its own way: where it differs, it is chosen here.

What else is one database's own stands in a module of its name (`postgresql`, `sqlite` and
those that begin so), in `columns` as variants of types, in `line_queries`, which is one text
for each, and in `bulk`, which hands over many rows as each database takes them best. ADR 11
lists it all, and what a further database needs.
"""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def listed(dialect: str, name: str, *, of_ids: bool = True) -> sa.Select[Any]:
    """Select the keys of the list parameter `name`.

    One parameter however many keys: the statement's text stays the same, so that
    it is compiled and planned once. Its value is made by `list_value`.
    """
    if dialect == "postgresql":
        given = sa.bindparam(name, type_=postgresql.ARRAY(sa.Text()))
        value = sa.func.unnest(given).label("value")
        # The collation of ids, so that their indexes serve.
        return sa.select(value.collate("C") if of_ids else value)
    given = sa.bindparam(name, type_=sa.Text())
    return sa.select(sa.func.json_each(given).table_valued("value").c.value)


def list_value(dialect: str, keys: Sequence[str]) -> Any:
    """Return the value of a list parameter."""
    return list(keys) if dialect == "postgresql" else json.dumps(list(keys))


def of_pairs(
    dialect: str,
    query: sa.Select[Any],
    columns: tuple[sa.Column[Any], sa.Column[Any]],
    names: tuple[str, str],
) -> sa.Select[Any]:
    """Select the rows whose two `columns`, which are unique together, are one of many pairs.

    The pairs are two lists of one length, the parameters `names`. The index of the columns is
    asked for each pair, whatever the database takes the table's size for: a new table has no
    statistics, and PostgreSQL would read every row of a tenant for a handful of them.
    """
    first, second = columns
    if dialect == "postgresql":
        lists = (sa.bindparam(name, type_=postgresql.ARRAY(sa.Text())) for name in names)
        given = sa.func.unnest(*lists).table_valued("first", "second").render_derived(name="given")
        one = query.where(first == given.c.first, second == given.c.second)
        found = one.correlate(given).limit(1).lateral("found")  # a limit keeps it a look-up
        return sa.select(*found.c).select_from(given.join(found, sa.true()))
    firsts, seconds = (
        sa.func.json_each(sa.bindparam(name, type_=sa.Text())).table_valued("key", "value")
        for name in names
    )
    pairs = sa.select(firsts.c.value, seconds.c.value).where(firsts.c.key == seconds.c.key)
    return query.where(sa.tuple_(first, second).in_(pairs))


def insert_new(dialect: str, table: sa.Table) -> sa.Insert:
    """Insert rows, passing over those whose key stands already."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


# Texts of statements for many rows, which `bulk` feeds. `given` is the rows as a table whose
# columns are column1, column2 and so on. Both databases of today write these alike.


def passing_over(insert: str, rows: str, key: Sequence[str]) -> str:
    """Return the text that inserts rows, passing over those whose key stands already."""
    return f"{insert} {rows} ON CONFLICT ({names(key)}) DO NOTHING"


def replacing(insert: str, rows: str, key: Sequence[str], others: Sequence[str]) -> str:
    """Return the text that inserts rows, or replaces the other columns of those that stand."""
    replaced = ", ".join(f'"{name}" = excluded."{name}"' for name in others)
    return f"{insert} {rows} ON CONFLICT ({names(key)}) DO UPDATE SET {replaced}"


def updating(table: str, given: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """Return the text that sets columns of the rows whose keys are given behind their values."""
    values = ", ".join(f'"{name}" = given.column{k}' for k, name in enumerate(columns, start=1))
    is_row = " AND ".join(
        f'{table}."{name}" = given.column{k}' for k, name in enumerate(key, start=len(columns) + 1)
    )
    return f"UPDATE {table} SET {values} FROM {given} WHERE {is_row}"  # noqa: S608  # our names


def names(columns: Sequence[str]) -> str:
    """Return names of columns as a list in a statement."""
    return ", ".join(f'"{name}"' for name in columns)
