"""PostgreSQL's COPY within a transaction of SQLAlchemy's, which knows of none.

Rows go over in binary, each value encoded once: an array for every column costs
asyncpg a look at the type of each value besides.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection


async def copy(
    connection: AsyncConnection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> None:
    """Insert rows into a table. Raises DBAPIError as a statement would."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if not driver.is_in_transaction():
        # SQLAlchemy begins with the first statement that it sees.
        await connection.exec_driver_sql("SELECT 1")
    try:
        await driver.copy_records_to_table(table, columns=columns, records=rows)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
        refused = isinstance(error, asyncpg.IntegrityConstraintViolationError)
        is_lost: bool = driver.is_closed()
        if is_lost:
            await connection.invalidate()
        kind = IntegrityError if refused else DBAPIError
        raise kind(f"COPY {table}", None, error, connection_invalidated=is_lost) from error
