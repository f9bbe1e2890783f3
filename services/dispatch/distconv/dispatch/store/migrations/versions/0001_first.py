"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(16).with_variant(sa.String(16, collation="C"), "postgresql")
ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "engines",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("capabilities", sa.Text(), nullable=False),
        sa.Column("slot_count", sa.Integer(), nullable=False),
        sa.Column("session_id", ID, nullable=False),
        sa.Column("metrics", sa.Text(), nullable=True),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("connect_time", TIME, nullable=True),
        sa.Column("heartbeat_time", TIME, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_engines")),
    )
    op.create_index(op.f("ix_engines_state"), "engines", ["state"], unique=False)
    op.create_index(op.f("ix_engines_tenant_id"), "engines", ["tenant", "id"], unique=False)
    op.create_table(
        "garbage",
        sa.Column("object_id", ID, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("due_time", TIME, nullable=False),
        sa.Column("final_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("object_id", name=op.f("pk_garbage")),
    )
    op.create_index(op.f("ix_garbage_due_time"), "garbage", ["due_time"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("creator", sa.String(length=255), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("source_object_id", ID, nullable=False),
        sa.Column("source_file_name", sa.String(length=255), nullable=False),
        sa.Column("source_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("source_media", sa.Text(), nullable=True),
        sa.Column("profile_name", sa.String(length=64), nullable=False),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("deadline", TIME, nullable=True),
        sa.Column("ttl", sa.Text(), nullable=True),
        sa.Column("expire_time", TIME, nullable=True),
        sa.Column("max_retries", sa.Integer(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.Column("start_time", TIME, nullable=True),
        sa.Column("end_time", TIME, nullable=True),
        sa.Column("retry_time", TIME, nullable=True),
        sa.Column("delete_time", TIME, nullable=True),
        sa.Column("engine_id", ID, nullable=False),
        sa.Column("retry_count", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("output", sa.Text(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(op.f("ix_jobs_expire_time"), "jobs", ["expire_time"], unique=False)
    op.create_index(op.f("ix_jobs_source_object_id"), "jobs", ["source_object_id"], unique=False)
    op.create_index(op.f("ix_jobs_tenant_id"), "jobs", ["tenant", "id"], unique=False)
    op.create_index(
        op.f("ix_jobs_tenant_state_id"), "jobs", ["tenant", "state", "id"], unique=False
    )
    op.create_table(
        "outbox",
        sa.Column("number", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_outbox")),
    )
    op.create_table(
        "requests",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "request_id", name=op.f("pk_requests")),
    )
    op.create_table(
        "requirement_sets",
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("key", "tenant", name=op.f("pk_requirement_sets")),
    )
    op.create_table(
        "tasks",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("depends_on", sa.Text(), nullable=False),
        sa.Column("requirement", sa.String(length=255), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("retry_time", TIME, nullable=True),
        sa.Column("preferred_engine_id", ID, nullable=False),
        sa.Column("avoided_engine_ids", sa.Text(), nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("update_time", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_tasks_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("job_id", "ordinal", name=op.f("uq_tasks_job_id_ordinal")),
    )
    op.create_index(
        "ix_tasks_turn", "tasks", ["state", sa.text("priority DESC"), "id"], unique=False
    )
    op.create_index(op.f("ix_tasks_retry_time"), "tasks", ["retry_time"], unique=False)
    op.create_table(
        "transitions",
        sa.Column("number", ROW_NUMBER, autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("time", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_transitions_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_transitions")),
    )
    op.create_index(
        op.f("ix_transitions_job_id_number"), "transitions", ["job_id", "number"], unique=False
    )
    op.create_table(
        "attempts",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("task_id", ID, nullable=False),
        sa.Column("engine_id", ID, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("fencing_token", sa.BigInteger(), nullable=False),
        sa.Column("lease_expire_time", TIME, nullable=True),
        sa.Column("object_id", ID, nullable=False),
        sa.Column("create_time", TIME, nullable=False),
        sa.Column("start_time", TIME, nullable=True),
        sa.Column("end_time", TIME, nullable=True),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("log_excerpt", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name=op.f("fk_attempts_task_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint(
            "task_id", "fencing_token", name=op.f("uq_attempts_task_id_fencing_token")
        ),
    )
    op.create_index(
        op.f("ix_attempts_engine_id_lease_expire_time"),
        "attempts",
        ["engine_id", "lease_expire_time"],
        unique=False,
    )
    op.create_index(op.f("ix_attempts_job_id"), "attempts", ["job_id"], unique=False)
    op.create_index(
        op.f("ix_attempts_lease_expire_time"), "attempts", ["lease_expire_time"], unique=False
    )
    op.create_index(op.f("ix_attempts_object_id"), "attempts", ["object_id"], unique=False)


def downgrade() -> None:
    for table in (
        "attempts",
        "tasks",
        "transitions",
        "jobs",
        "engines",
        "garbage",
        "outbox",
        "requests",
        "requirement_sets",
    ):
        op.drop_table(table)
