"""Fill a PostgreSQL of dispatch with pending jobs: copies of some that dispatch itself made.

Copying in the database makes a million of them in about a minute, and whatever columns the
tables have, the copies have them as dispatch writes them. Only ids, tenants and ranks differ.
Indexes and constraints are taken away for the while: building one over a million rows costs a
fraction of a million insertions, and leaves it as compact as an old index never is.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import asyncpg

# Tables with a row or more per job, and the columns of each that hold ids to make anew.
_TABLES = {
    "jobs": ("id",),
    "tasks": ("id", "job_id"),
    "transitions": ("job_id",),
    "job_terms": ("job_id",),
}
_GENERATED = {"transitions": ("number",)}
# For one session that loads; the server's own settings stay as they are.
_LOADING = {
    "maintenance_work_mem": "512MB",
    "work_mem": "256MB",
    "synchronous_commit": "off",
    "max_parallel_maintenance_workers": "2",
}
_TIMEOUT_S = 3600
# What stands on the tables or refers to them; the keys that others refer to come first.
_CONSTRAINTS = """
SELECT conrelid::regclass::text AS owner, conname AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint
WHERE contype IN ('p', 'u', 'f')
AND (conrelid = ANY($1::regclass[]) OR confrelid = ANY($1::regclass[]))
ORDER BY contype = 'f', conname
"""
_INDEXES = """
SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition
FROM pg_index
WHERE indrelid = ANY($1::regclass[])
AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
"""
# An id is 9 characters of time and 7 of randomness; hexadecimal digits are among its letters.
_COPY_ID = "left({column}, 9) || lpad(to_hex({number}), 7, '0')"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """How many jobs, of how many tenants."""

    job_count: int
    tenant_count: int = 100

    def tenant(self, number: int) -> str:
        """Return a tenant's name."""
        return f"tenant-{number:03d}"


async def fill(url: str, backlog: Backlog, *, template_tenant: str) -> None:
    """Copy the jobs of `template_tenant` until there are so many, in equal parts; remove them."""
    connection = await asyncpg.connect(url, server_settings=_LOADING, command_timeout=_TIMEOUT_S)
    try:
        # One transaction, so that a fill that is stopped leaves the tables whole.
        async with connection.transaction(), _without_indexes(connection):
            templates = await connection.fetch(
                "SELECT id FROM jobs WHERE tenant = $1 AND state = 'PENDING' ORDER BY id",
                template_tenant,
            )
            each = backlog.job_count // len(templates)
            for table, id_columns in _TABLES.items():
                key = "id" if table == "jobs" else "job_id"
                copy = await _copy(connection, table, id_columns, key, backlog)
                for index, template in enumerate(templates):
                    await connection.execute(copy, template["id"], index, len(templates), each)
        await _open_accounts(connection)
        await connection.execute("DELETE FROM jobs WHERE tenant = $1", template_tenant)
        # Leaves no dead row, and none whose visibility is still to be noted.
        await connection.execute("VACUUM (FREEZE, ANALYZE)")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def _without_indexes(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> AsyncIterator[None]:
    """Take indexes and constraints away from the tables; make them again, as they were."""
    tables = list(_TABLES)
    constraints = await connection.fetch(_CONSTRAINTS, tables)
    indexes = await connection.fetch(_INDEXES, tables)
    for found in reversed(constraints):
        await connection.execute(f"ALTER TABLE {found['owner']} DROP CONSTRAINT {found['name']}")
    for found in indexes:
        await connection.execute(f"DROP INDEX {found['name']}")
    yield
    for found in indexes:
        await connection.execute(found["definition"])
    for found in constraints:
        await connection.execute(
            f"ALTER TABLE {found['owner']} ADD CONSTRAINT {found['name']} {found['definition']}"
        )


async def _copy(
    connection: "asyncpg.Connection[asyncpg.Record]",
    table: str,
    id_columns: tuple[str, ...],
    key: str,
    backlog: Backlog,
) -> str:
    rows = await connection.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = $1 "
        "AND table_schema = 'public' ORDER BY ordinal_position",
        table,
    )
    names = [r["column_name"] for r in rows if r["column_name"] not in _GENERATED.get(table, ())]
    if not names:
        raise RuntimeError(f"there is no table {table}")
    number = "(n * $3::bigint + $2::bigint)"
    values = {name: f't."{name}"' for name in names}
    values |= {name: _COPY_ID.format(column=values[name], number=number) for name in id_columns}
    values["tenant"] = f"'tenant-' || lpad(({number} % {backlog.tenant_count})::text, 3, '0')"
    if table == "tasks":
        # As start-time fair queuing ranks the jobs of a tenant, of which each has one profile.
        values["rank"] = f"({number} / {backlog.tenant_count}) * t.cost"
    columns = ", ".join(f'"{name}"' for name in names)
    return (
        f"INSERT INTO {table} ({columns}) SELECT {', '.join(values[name] for name in names)} "  # noqa: S608  # names of our own schema
        f'FROM {table} t CROSS JOIN generate_series(0, $4::bigint - 1) n WHERE t."{key}" = $1'
    )


async def _open_accounts(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Charge the tenants for what they have waiting."""
    await connection.execute(
        """
        INSERT INTO accounts (tenant, urgency, finish_rank, claimed_rank)
        SELECT tenant, urgency, max(rank + cost), 0 FROM tasks
        WHERE state = 'READY' AND tenant LIKE 'tenant-%' GROUP BY tenant, urgency
        ON CONFLICT (tenant, urgency) DO UPDATE SET finish_rank = EXCLUDED.finish_rank
        """
    )
