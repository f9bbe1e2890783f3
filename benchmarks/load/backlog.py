"""Fill a PostgreSQL of dispatch with pending jobs: copies of some that dispatch itself made.

Copying in the database makes a million of them in a minute or two, and whatever columns the
tables have, the copies have them as dispatch writes them. Only ids, tenants and ranks differ.
"""

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
    connection = await asyncpg.connect(url)
    try:
        templates = await connection.fetch(
            "SELECT id FROM jobs WHERE tenant = $1 AND state = 'PENDING' ORDER BY id",
            template_tenant,
        )
        each = backlog.job_count // len(templates)
        for index, template in enumerate(templates):
            for table, id_columns in _TABLES.items():
                key = "id" if table == "jobs" else "job_id"
                await connection.execute(
                    await _copy(connection, table, id_columns, key, backlog),
                    template["id"],
                    index,
                    len(templates),
                    each,
                    timeout=3600,
                )
        await _open_accounts(connection)
        await connection.execute("DELETE FROM jobs WHERE tenant = $1", template_tenant)
        await connection.execute("VACUUM ANALYZE", timeout=3600)
        await connection.execute("CHECKPOINT", timeout=3600)
    finally:
        await connection.close()


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
        INSERT INTO tenants (tenant, finish_rank, claimed_rank)
        SELECT tenant, max(rank + cost), 0 FROM tasks
        WHERE state = 'READY' AND tenant LIKE 'tenant-%' GROUP BY tenant
        ON CONFLICT (tenant) DO UPDATE SET finish_rank = EXCLUDED.finish_rank
        """,
        timeout=3600,
    )
