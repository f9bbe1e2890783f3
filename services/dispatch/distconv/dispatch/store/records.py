"""What the store keeps, as values. Every record carries its tenant.

Fields are flat and named as the columns are; times are aware and UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineCapabilities, EngineMetrics, EngineState
from distconv.core.failure import Failure
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.profile import Profile
from distconv.core.progress import JobProgress
from distconv.core.report import Note
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutput:
    """A published result: the object's id, size and digest, and what it is."""

    object_id: str
    size_bytes: int
    sha256: str
    media: MediaInfo
    census: MediaCensus
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job. `version` grows with every change and makes the etag.

    `retry_count` counts failed attempts at any of its tasks; `expire_time` is
    `create_time` + `ttl`; `progress` is a sample from the last transition.
    """

    id: str
    tenant: str
    creator: str
    state: JobState
    version: int = 1
    source_object_id: str
    source_file_name: str
    source_size_bytes: int
    source_media: MediaInfo | None = None
    profile_name: str
    profile: Profile
    priority: int = 0
    deadline: datetime | None = None
    ttl: timedelta | None = None
    expire_time: datetime | None = None
    max_retries: int
    labels: Mapping[str, str] = field(default_factory=dict)
    create_time: datetime
    update_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None
    retry_time: datetime | None = None
    delete_time: datetime | None = None
    engine_id: str = ""
    retry_count: int = 0
    error: Failure | None = None
    output: JobOutput | None = None
    progress: JobProgress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A unit of assignment.

    `ordinal` is its place in the plan, from 0; `depends_on` are ids of tasks of
    the same job; `requirement` is the key of its requirement set;
    `fencing_token` is that of its latest attempt, 0 before the first;
    `retry_time` is set while BACKING_OFF alone.
    """

    id: str
    tenant: str
    job_id: str
    ordinal: int
    kind: TaskKind
    state: TaskState
    depends_on: tuple[str, ...] = ()
    requirement: str = ""
    priority: int = 0
    fencing_token: int = 0
    retry_time: datetime | None = None
    preferred_engine_id: str = ""
    avoided_engine_ids: tuple[str, ...] = ()
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One try at a task on one engine, kept for ever.

    `lease_expire_time` is set while the attempt is live alone; `object_id` is
    where its output goes, empty for a probe.
    """

    id: str
    tenant: str
    job_id: str
    task_id: str
    engine_id: str
    state: AttemptState
    fencing_token: int
    lease_expire_time: datetime | None
    object_id: str = ""
    create_time: datetime
    start_time: datetime | None = None
    end_time: datetime | None = None
    decision: str = ""
    error: Failure | None = None
    log_excerpt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRecord:
    """One move of a job: from where, by what event and cause, to where, when."""

    tenant: str
    job_id: str
    from_state: JobState | None
    event: str
    to_state: JobState
    cause: str
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRecord:
    """An event to be published: written with what it tells of, removed once published."""

    tenant: str
    type: str
    subject: str
    payload: Mapping[str, str]
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """An engine; `session_id` names its present session, empty while OFFLINE."""

    id: str
    tenant: str
    display_name: str
    state: EngineState
    version: str
    capabilities: EngineCapabilities
    slot_count: int
    session_id: str = ""
    metrics: EngineMetrics | None = None
    create_time: datetime
    connect_time: datetime | None = None
    heartbeat_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What a `request_id` was used for: the digest of its content, and the job it made."""

    tenant: str
    request_id: str
    method: str
    digest: str
    job_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GarbageRecord:
    """An object to delete.

    It is deleted at `due_time`, and once more at `final_time`, when the last
    token that could have written it has expired; then the record goes.
    """

    object_id: str
    tenant: str
    due_time: datetime
    final_time: datetime


class Order(StrEnum):
    """The orders of a list of jobs."""

    NEWEST_FIRST = "create_time desc"
    OLDEST_FIRST = "create_time"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQuery:
    """Which jobs of a tenant to list; `after` is the id of the last job of the page before."""

    tenant: str
    states: frozenset[JobState] | None = None
    profile_name: str | None = None
    order: Order = Order.NEWEST_FIRST
    after: str = ""
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineQuery:
    """Which engines of a tenant to list, by id; `after` is the last id of the page before."""

    tenant: str
    states: frozenset[EngineState] | None = None
    after: str = ""
    limit: int
