"""What a fleet needs: lines, fair ranks, health of engines, terms, retention, duties."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(16).with_variant(sa.String(16, collation="C"), "postgresql")
TERM = sa.String(336).with_variant(sa.String(336, collation="C"), "postgresql")
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)

_PAGE = 1000
_WORD = re.compile(r"[^\W_]+")
# How long the answers to requests of before are kept: as long as those of today by default.
_KEEP_REQUESTS = timedelta(days=1)

_ADDED: dict[str, list[Callable[[], sa.Column[Any]]]] = {
    "jobs": [
        lambda: sa.Column("engine_tags", sa.Text(), nullable=False, server_default="[]"),
        lambda: sa.Column("duration", sa.BigInteger(), nullable=True),
        lambda: sa.Column("pixel_count", sa.BigInteger(), nullable=False, server_default="0"),
        lambda: sa.Column("attempt_count", sa.Integer(), nullable=False, server_default="0"),
    ],
    "tasks": [
        lambda: sa.Column("urgency", sa.Integer(), nullable=False, server_default="0"),
        lambda: sa.Column("rank", sa.Double(), nullable=False, server_default="0"),
        lambda: sa.Column("cost", sa.Double(), nullable=False, server_default="0"),
        lambda: sa.Column("height", sa.Integer(), nullable=False, server_default="0"),
        lambda: sa.Column("ready_time", TIME, nullable=True),
        lambda: sa.Column("promote_time", TIME, nullable=True),
        lambda: sa.Column("lost_count", sa.Integer(), nullable=False, server_default="0"),
        lambda: sa.Column("deadline", TIME, nullable=True),
    ],
    "attempts": [
        lambda: sa.Column("transfer_mode", sa.String(16), nullable=False, server_default=""),
        lambda: sa.Column("estimate", sa.BigInteger(), nullable=True),
    ],
    "transitions": [lambda: sa.Column("attempt_id", ID, nullable=False, server_default="")],
    "outbox": [
        lambda: sa.Column("id", ID, nullable=False, server_default=""),
        lambda: sa.Column("sequence", sa.Integer(), nullable=False, server_default="0"),
    ],
    "engines": [
        lambda: sa.Column("maintenance", sa.Boolean(), nullable=False, server_default=sa.false()),
        lambda: sa.Column("strike_count", sa.Integer(), nullable=False, server_default="0"),
        lambda: sa.Column("quarantine_count", sa.Integer(), nullable=False, server_default="0"),
        lambda: sa.Column("quarantine_time", TIME, nullable=True),
        lambda: sa.Column("quarantine_reason", sa.Text(), nullable=False, server_default=""),
        lambda: sa.Column("replica_id", ID, nullable=False, server_default=""),
    ],
    "requests": [lambda: sa.Column("expire_time", TIME, nullable=True)],
}

_INDEXES: list[tuple[str, str, list[str]]] = [
    ("ix_jobs_tenant_profile_name_id", "jobs", ["tenant", "profile_name", "id"]),
    ("ix_jobs_tenant_priority_id", "jobs", ["tenant", "priority", "id"]),
    ("ix_jobs_tenant_source_object_id", "jobs", ["tenant", "source_object_id"]),
    ("ix_tasks_tenant_id", "tasks", ["tenant", "id"]),
    ("ix_tasks_tenant_state_id", "tasks", ["tenant", "state", "id"]),
    ("ix_attempts_engine_id_job_id", "attempts", ["engine_id", "job_id"]),
    ("ix_requests_expire_time", "requests", ["expire_time"]),
]

# Of the rows alone that have such a time. Those of the first revision hold every row.
_TIMES: list[tuple[str, str, list[str]]] = [
    ("end_time", "jobs", ["tenant", "end_time", "id"]),
    ("expire_time", "jobs", ["expire_time"]),
    ("delete_time", "jobs", ["delete_time"]),
    ("retry_time", "tasks", ["retry_time"]),
    ("promote_time", "tasks", ["promote_time"]),
]
_WHOLE = (("jobs", "expire_time"), ("tasks", "retry_time"))


# Rows that change several times in their life: room on their page for the next version, so
# that an update need not touch indexes, and vacuum long before a fifth of the table is dead.
_HOT = (
    "fillfactor = 75, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02"
)
# Tables that are a queue or have few rows, each of which changes often.
_BUSY = "fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500"
_STORAGE = {
    "jobs": _HOT,
    "tasks": _HOT,
    "attempts": _HOT,
    "engines": _BUSY,
    "accounts": _BUSY,
    "lines": _BUSY,
    "outbox": "autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000",
}


def upgrade() -> None:
    for table, columns in _ADDED.items():
        for column in columns:
            op.add_column(table, column())
    for name, table, on in _INDEXES:
        op.create_index(name, table, on)
    for table, time in _WHOLE:
        op.drop_index(f"ix_{table}_{time}", table)
    for time, table, on in _TIMES:
        op.create_index(
            f"ix_{table}_{'_'.join(on)}",
            table,
            on,
            postgresql_where=sa.text(f"{time} IS NOT NULL"),
            sqlite_where=sa.text(f"{time} IS NOT NULL"),
        )
    op.drop_index("ix_jobs_source_object_id", "jobs")
    op.drop_index("ix_tasks_turn", "tasks")
    op.create_index(
        "ix_tasks_line",
        "tasks",
        ["requirement", "urgency", "rank", "id"],
        postgresql_where=sa.text("state = 'READY'"),
        sqlite_where=sa.text("state = 'READY'"),
    )
    _make_tables()
    _fill()
    op.drop_table("requirement_sets")
    if op.get_bind().dialect.name == "postgresql":
        for table, options in _STORAGE.items():
            op.execute(f"ALTER TABLE {table} SET ({options})")


def _make_tables() -> None:
    op.create_table(
        "job_terms",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("term", TERM, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_job_terms_job_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant", "term", "job_id", name="pk_job_terms"),
    )
    op.create_index("ix_job_terms_job_id", "job_terms", ["job_id"])
    op.create_table(
        "lines",
        sa.Column("requirement", sa.String(255), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("use_time", TIME, nullable=False),
        sa.Column("claim_time", TIME),
        sa.PrimaryKeyConstraint("requirement", "urgency", name="pk_lines"),
    )
    op.create_table(
        "accounts",
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("urgency", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("finish_rank", sa.Double(), nullable=False),
        sa.Column("claimed_rank", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "urgency", name="pk_accounts"),
    )
    op.create_index("ix_accounts_urgency_claimed_rank", "accounts", ["urgency", "claimed_rank"])
    op.create_table(
        "benchmarks",
        sa.Column("number", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("engine_id", ID, nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.Column("codec", sa.String(32), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("build_id", sa.String(128), nullable=False),
        sa.Column("fps", sa.Double(), nullable=False),
        sa.Column("measure_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_benchmarks"),
    )
    op.create_index(
        "ix_benchmarks_engine_id_measure_time", "benchmarks", ["engine_id", "measure_time"]
    )
    op.create_table(
        "speeds",
        sa.Column("engine_id", ID, nullable=False),
        sa.Column("codec", sa.String(32), nullable=False),
        sa.Column("height_class", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("build_id", sa.String(128), nullable=False),
        sa.Column("pixel_rate", sa.Double(), nullable=False),
        sa.Column("sample_count", sa.Integer(), nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("engine_id", "codec", "height_class", "build_id", name="pk_speeds"),
    )
    op.create_table(
        "duties",
        sa.Column("name", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duties"),
    )


def _fill() -> None:
    """Give the rows of before what they would have had."""
    run = op.get_bind().execute
    run(
        sa.text(
            "UPDATE tasks SET urgency = priority, deadline = "
            "(SELECT jobs.deadline FROM jobs WHERE jobs.id = tasks.job_id)"
        )
    )
    run(sa.text("UPDATE tasks SET ready_time = update_time WHERE state = 'READY'"))
    run(
        sa.text(
            "UPDATE jobs SET attempt_count = "
            "(SELECT count(*) FROM attempts WHERE attempts.job_id = jobs.id)"
        )
    )
    run(
        sa.text(
            "INSERT INTO lines (requirement, urgency, use_time) "
            "SELECT requirement, urgency, max(update_time) FROM tasks "
            "GROUP BY requirement, urgency"
        )
    )
    fields = ("id", "tenant", "source_file_name", "labels")
    jobs = sa.table("jobs", *(sa.column(c) for c in fields))
    terms = sa.table("job_terms", *(sa.column(c) for c in ("tenant", "term", "job_id")))
    for page in _pages(jobs, jobs.c.id, "", sa.select(*jobs.c)):
        found = [
            {"tenant": row.tenant, "term": term, "job_id": row.id}
            for row in page
            for term in _terms(row.labels, row.source_file_name)
        ]
        if found:
            run(sa.insert(terms), found)
    _name_events()
    requests = sa.table(
        "requests",
        *(sa.column(c) for c in ("tenant", "request_id")),
        sa.column("create_time", TIME),
        sa.column("expire_time", TIME),
    )
    _expire(requests)


def _name_events() -> None:
    outbox = sa.table("outbox", sa.column("number", sa.BigInteger()), sa.column("id"))
    number = outbox.c.number
    for page in _pages(outbox, number, -1, sa.select(number)):
        op.get_bind().execute(
            sa.update(outbox).where(number == sa.bindparam("n")).values(id=sa.bindparam("name")),
            [{"n": row.number, "name": f"{row.number:016d}"} for row in page],
        )


def _expire(requests: Any) -> None:
    by_time = sa.select(requests.c.create_time).where(requests.c.expire_time.is_(None))
    run = op.get_bind().execute
    while (
        time := run(by_time.order_by(requests.c.create_time.desc()).limit(1)).scalar()
    ) is not None:
        # A day at a time: one statement for all that were made within the day before the last.
        run(
            sa.update(requests)
            .where(requests.c.expire_time.is_(None), requests.c.create_time > time - _KEEP_REQUESTS)
            .values(expire_time=time + _KEEP_REQUESTS)
        )


def _terms(labels: str, file_name: str) -> set[str]:
    words = (word[:64] for word in _WORD.findall(file_name.lower()))
    return {
        *(f"label:{k}={v}" for k, v in json.loads(labels).items()),
        *(f"word:{word}" for word in words),
    }


def _pages(table: Any, key: Any, first: Any, query: Any) -> Iterator[Any]:
    """Yield the rows of a table by its key, in pages."""
    after = first
    while page := (
        op.get_bind()
        .execute(query.select_from(table).where(key > after).order_by(key).limit(_PAGE))
        .all()
    ):
        yield page
        after = getattr(page[-1], key.name)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in ("jobs", "tasks", "attempts", "engines", "outbox"):
            names = ", ".join(part.split("=")[0].strip() for part in _STORAGE[table].split(","))
            op.execute(f"ALTER TABLE {table} RESET ({names})")
    op.create_table(
        "requirement_sets",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("tenant", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("key", "tenant", name="pk_requirement_sets"),
    )
    op.get_bind().execute(
        sa.text(
            "INSERT INTO requirement_sets (key, tenant) "
            "SELECT DISTINCT requirement, tenant FROM tasks"
        )
    )
    # States that the code of before does not know.
    op.get_bind().execute(
        sa.text("UPDATE engines SET state = 'OFFLINE' WHERE state = 'QUARANTINED'")
    )
    for table in ("duties", "speeds", "benchmarks", "accounts", "lines", "job_terms"):
        op.drop_table(table)
    op.drop_index("ix_tasks_line", "tasks")
    op.create_index("ix_tasks_turn", "tasks", ["state", sa.text("priority DESC"), "id"])
    for name, table, _ in _INDEXES:
        op.drop_index(name, table)
    for _, table, on in _TIMES:
        op.drop_index(f"ix_{table}_{'_'.join(on)}", table)
    for table, time in _WHOLE:
        op.create_index(f"ix_{table}_{time}", table, [time])
    op.create_index("ix_jobs_source_object_id", "jobs", ["source_object_id"])
    for table, columns in _ADDED.items():
        for column in columns:
            op.drop_column(table, column().name)
