"""The tables. Column names are the records' field names, so that rows and records map one to one.

Change them together with a migration; a test compares the two.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineCapabilities, EngineMetrics, EngineState
from distconv.core.failure import Failure
from distconv.core.media import MediaInfo
from distconv.core.profile import Profile
from distconv.core.progress import JobProgress
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.core.transfer import TransferMode
from distconv.dispatch.store.columns import Exact, Id, JsonValue, RowNumber, Span, UtcTime
from distconv.dispatch.store.records import JobOutput

# Constraints need names to be altered later.
metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _state(
    kind: type[JobState | TaskState | AttemptState | EngineState | TaskKind | TransferMode],
) -> sa.Enum:
    # Plain text: a new state needs no migration of a database type.
    return sa.Enum(
        kind, native_enum=False, length=16, values_callable=lambda k: [s.value for s in k]
    )


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", sa.String(64), nullable=False)


def _required(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    _required("creator", sa.String(255)),
    _required("state", _state(JobState)),
    _required("version", sa.Integer()),
    _required("source_object_id", Id),
    _required("source_file_name", sa.String(255)),
    _required("source_size_bytes", sa.BigInteger()),
    sa.Column("source_media", JsonValue(MediaInfo)),
    _required("profile_name", sa.String(64)),
    _required("profile", JsonValue(Profile)),
    _required("priority", sa.Integer()),
    sa.Column("deadline", UtcTime),
    sa.Column("ttl", JsonValue(timedelta)),
    sa.Column("expire_time", UtcTime),
    _required("max_retries", sa.Integer()),
    _required("labels", JsonValue(Mapping[str, str])),
    _required("create_time", UtcTime()),
    _required("update_time", UtcTime()),
    sa.Column("start_time", UtcTime),
    sa.Column("end_time", UtcTime),
    sa.Column("retry_time", UtcTime),
    sa.Column("delete_time", UtcTime),
    _required("engine_id", Id),
    _required("retry_count", sa.Integer()),
    sa.Column("error", JsonValue(Failure)),
    sa.Column("output", JsonValue(JobOutput)),
    sa.Column("progress", JsonValue(JobProgress)),
    _required("engine_tags", JsonValue(tuple[str, ...])),
    sa.Column("duration", Span),
    _required("pixel_count", sa.BigInteger()),
    _required("attempt_count", sa.Integer()),
    sa.Column("transfer_mode", _state(TransferMode)),
    sa.Index(None, "tenant", "id"),
    sa.Index(None, "tenant", "state", "id"),
    sa.Index(None, "tenant", "profile_name", "id"),
    sa.Index(None, "tenant", "priority", "id"),
    sa.Index(None, "tenant", "source_object_id"),
)

job_terms = sa.Table(
    "job_terms",
    metadata,
    sa.Column("tenant", sa.String(64), primary_key=True),
    # A label's key and value, with what is written around them.
    sa.Column("term", Exact(336), primary_key=True),
    sa.Column(
        "job_id", Id, sa.ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True, index=True
    ),
)

lines = sa.Table(
    "lines",
    metadata,
    sa.Column("requirement", sa.String(255), primary_key=True),
    sa.Column("urgency", sa.Integer(), primary_key=True, autoincrement=False),
    _required("use_time", UtcTime()),
    sa.Column("claim_time", UtcTime()),
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("urgency", sa.Integer(), primary_key=True, autoincrement=False),
    _required("finish_rank", sa.Double()),
    _required("claimed_rank", sa.Double()),
    sa.Index(None, "urgency", "claimed_rank"),
)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    sa.Column("job_id", Id, sa.ForeignKey(jobs.c.id, ondelete="CASCADE"), nullable=False),
    _required("ordinal", sa.Integer()),
    _required("kind", _state(TaskKind)),
    _required("state", _state(TaskState)),
    _required("depends_on", JsonValue(tuple[str, ...])),
    _required("requirement", sa.String(255)),
    _required("priority", sa.Integer()),
    _required("fencing_token", sa.BigInteger()),
    sa.Column("retry_time", UtcTime),
    _required("preferred_engine_id", Id),
    _required("avoided_engine_ids", JsonValue(tuple[str, ...])),
    _required("create_time", UtcTime()),
    _required("update_time", UtcTime()),
    _required("urgency", sa.Integer()),
    _required("rank", sa.Double()),
    _required("cost", sa.Double()),
    _required("height", sa.Integer()),
    sa.Column("ready_time", UtcTime),
    sa.Column("promote_time", UtcTime),
    _required("lost_count", sa.Integer()),
    sa.Column("deadline", UtcTime),
    sa.UniqueConstraint("job_id", "ordinal"),
    sa.Index(None, "tenant", "id"),
    sa.Index(None, "tenant", "state", "id"),
)
# The head of a line is the first row of a range of this index, however long the line is. It
# holds the waiting tasks alone. Their state is no column of it: PostgreSQL takes a condition that
# the index implies for granted, and would then not look the other columns up behind it.
sa.Index(
    "ix_tasks_line",
    tasks.c.requirement,
    tasks.c.urgency,
    tasks.c.rank,
    tasks.c.id,
    postgresql_where=sa.text("state = 'READY'"),
    sqlite_where=sa.text("state = 'READY'"),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    sa.Column("job_id", Id, sa.ForeignKey(jobs.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("task_id", Id, sa.ForeignKey(tasks.c.id, ondelete="CASCADE"), nullable=False),
    _required("engine_id", Id),
    _required("state", _state(AttemptState)),
    _required("fencing_token", sa.BigInteger()),
    sa.Column("lease_expire_time", UtcTime),
    _required("object_id", Id),
    _required("create_time", UtcTime()),
    sa.Column("start_time", UtcTime),
    sa.Column("end_time", UtcTime),
    _required("decision", sa.Text()),
    sa.Column("error", JsonValue(Failure)),
    _required("log_excerpt", JsonValue(tuple[str, ...])),
    _required("transfer_mode", sa.String(16)),
    sa.Column("estimate", Span),
    sa.UniqueConstraint("task_id", "fencing_token"),
    sa.Index(None, "job_id"),
    sa.Index(None, "engine_id", "job_id"),
    sa.Index(None, "engine_id", "lease_expire_time"),
    sa.Index(None, "lease_expire_time"),
    sa.Index(None, "object_id"),
)

transitions = sa.Table(
    "transitions",
    metadata,
    sa.Column("number", RowNumber, primary_key=True, autoincrement=True),
    _tenant(),
    sa.Column("job_id", Id, sa.ForeignKey(jobs.c.id, ondelete="CASCADE"), nullable=False),
    sa.Column("from_state", _state(JobState)),
    _required("event", sa.String(32)),
    _required("to_state", _state(JobState)),
    _required("cause", sa.Text()),
    _required("time", UtcTime()),
    _required("attempt_id", Id),
    sa.Index(None, "job_id", "number"),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("number", RowNumber, primary_key=True, autoincrement=True),
    _tenant(),
    _required("type", sa.String(64)),
    _required("subject", sa.String(128)),
    _required("payload", JsonValue(Mapping[str, str])),
    _required("time", UtcTime()),
    _required("id", Id),
    _required("sequence", sa.Integer()),
)

engines = sa.Table(
    "engines",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _tenant(),
    _required("display_name", sa.String(255)),
    _required("state", _state(EngineState)),
    _required("version", sa.String(64)),
    _required("capabilities", JsonValue(EngineCapabilities)),
    _required("slot_count", sa.Integer()),
    _required("session_id", Id),
    sa.Column("metrics", JsonValue(EngineMetrics)),
    _required("create_time", UtcTime()),
    sa.Column("connect_time", UtcTime),
    sa.Column("heartbeat_time", UtcTime),
    _required("maintenance", sa.Boolean()),
    _required("strike_count", sa.Integer()),
    _required("quarantine_count", sa.Integer()),
    sa.Column("quarantine_time", UtcTime),
    _required("quarantine_reason", sa.Text()),
    _required("replica_id", Id),
    _required("instance_id", Id),
    sa.Index(None, "tenant", "id"),
    sa.Index(None, "state"),
    sa.Index(None, "replica_id"),
)

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("tenant", sa.String(64), primary_key=True),
    sa.Column("request_id", sa.String(64), primary_key=True),
    _required("method", sa.String(64)),
    _required("digest", sa.String(64)),
    _required("job_id", Id),
    _required("create_time", UtcTime()),
    sa.Column("expire_time", UtcTime),
    sa.Index(None, "expire_time"),
)

garbage = sa.Table(
    "garbage",
    metadata,
    sa.Column("object_id", Id, primary_key=True),
    _tenant(),
    _required("due_time", UtcTime()),
    _required("final_time", UtcTime()),
    sa.Index(None, "due_time"),
)

benchmarks = sa.Table(
    "benchmarks",
    metadata,
    sa.Column("number", RowNumber, primary_key=True, autoincrement=True),
    _required("engine_id", Id),
    _tenant(),
    _required("codec", sa.String(32)),
    _required("height", sa.Integer()),
    _required("build_id", sa.String(128)),
    _required("fps", sa.Double()),
    _required("measure_time", UtcTime()),
    sa.Index(None, "engine_id", "measure_time"),
)

speeds = sa.Table(
    "speeds",
    metadata,
    sa.Column("engine_id", Id, primary_key=True),
    sa.Column("codec", sa.String(32), primary_key=True),
    sa.Column("height_class", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("build_id", sa.String(128), primary_key=True),
    _required("pixel_rate", sa.Double()),
    _required("sample_count", sa.Integer()),
    _required("update_time", UtcTime()),
)

replicas = sa.Table(
    "replicas",
    metadata,
    sa.Column("id", Id, primary_key=True),
    _required("address", sa.String(255)),
    _required("version", sa.String(64)),
    _required("media_key", sa.String(64)),
    _required("storage", sa.Text()),
    _required("start_time", UtcTime()),
    _required("heartbeat_time", UtcTime()),
)

# Times that most rows do not have: who has none is not in the index, and pays nothing for it.
for _table, *_names in (
    (jobs, "tenant", "end_time", "id"),
    (jobs, "expire_time"),
    (jobs, "delete_time"),
    (tasks, "retry_time"),
    (tasks, "promote_time"),
):
    _time = next(name for name in _names if name.endswith("_time"))
    sa.Index(
        f"ix_{_table.name}_{'_'.join(_names)}",
        *(_table.c[name] for name in _names),
        postgresql_where=sa.text(f"{_time} IS NOT NULL"),
        sqlite_where=sa.text(f"{_time} IS NOT NULL"),
    )

# Who locks a row here does that duty for all replicas.
duties = sa.Table("duties", metadata, sa.Column("name", sa.String(64), primary_key=True))
