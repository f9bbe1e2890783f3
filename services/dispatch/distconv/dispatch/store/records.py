"""What the store keeps, as values. Every record carries its tenant.

Fields are flat and named as the columns are; times are aware and UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distconv.core.attempt_states import AttemptState
from distconv.core.engine import EngineCapabilities, EngineMetrics, EngineState
from distconv.core.failure import Failure
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.profile import Profile
from distconv.core.progress import JobProgress
from distconv.core.report import Note
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.core.transfer import TransferMode


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

    `retry_count` counts failed attempts at any of its tasks, `attempt_count` all
    attempts; `expire_time` is `create_time` + `ttl`; `progress` is a sample from
    the last transition. `engine_tags` are what an engine must be tagged with.
    `transfer_mode` is what was asked for; None: as the server is set.
    `duration` and `pixel_count` (width × height × frames) are measured by the
    probe: None and 0 before.
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
    engine_tags: tuple[str, ...] = ()
    duration: timedelta | None = None
    pixel_count: int = 0
    attempt_count: int = 0
    transfer_mode: TransferMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRecord:
    """A unit of assignment.

    `ordinal` is its place in the plan, from 0; `depends_on` are ids of tasks of
    the same job; `requirement` is the key of its requirement set;
    `fencing_token` is that of its latest attempt, 0 before the first;
    `retry_time` is set while BACKING_OFF alone.

    While READY it stands in the line (`requirement`, `urgency`), ordered by
    (`rank`, `id`). `urgency` is the priority, raised as `deadline` (a copy of its
    job's) nears; `promote_time` is when it is next raised, None when never.
    `cost` is its estimated work and `rank` its start tag of fair queuing, both in
    units of cost; `height` is that of the picture it makes, lines, 0 for none;
    `ready_time` is when it last became READY; `lost_count` counts the leases lost
    on it.
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
    urgency: int = 0
    rank: float = 0.0
    cost: float = 0.0
    height: int = 0
    ready_time: datetime | None = None
    promote_time: datetime | None = None
    lost_count: int = 0
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One try at a task on one engine, kept for ever.

    `lease_expire_time` is set while the attempt is live alone; `object_id` is
    where its output goes, empty for a probe. `transfer_mode` is how the media
    travels, empty when it was not decided; `estimate` is the wall time that
    placement expected.
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
    transfer_mode: str = ""
    estimate: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRecord:
    """One move of a job: from where, by what event and cause, to where, when.

    `attempt_id` is the attempt that it came with, empty when there is none.
    """

    tenant: str
    job_id: str
    from_state: JobState | None
    event: str
    to_state: JobState
    cause: str
    time: datetime
    attempt_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRecord:
    """An event to be published: written with what it tells of, removed once published.

    `id` is the event's own; `sequence` is the version of the job that it tells
    of, 0 for others; `number` is its place in the outbox, given by the store.
    """

    tenant: str
    type: str
    subject: str
    payload: Mapping[str, str]
    time: datetime
    id: str = ""
    sequence: int = 0
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRecord:
    """An engine; `session_id` names its present session, empty while OFFLINE.

    `replica_id` is the dispatch process that holds the session, `instance_id` names
    the engine's own process, empty for one that does not tell. `maintenance` is
    an operator's wish to give it nothing new. `strike_count` counts failures
    of what others completed; `quarantine_time` is when a quarantine ends,
    `quarantine_count` how many it had, `quarantine_reason` why it has this one.
    """

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
    maintenance: bool = False
    strike_count: int = 0
    quarantine_count: int = 0
    quarantine_time: datetime | None = None
    quarantine_reason: str = ""
    replica_id: str = ""
    instance_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatRecord:
    """When an engine was last heard in a session, and what it measured of itself."""

    engine_id: str
    session_id: str
    time: datetime
    metrics: EngineMetrics | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaRecord:
    """A dispatch process on this database.

    `address` is where engines and clients reach it; `media_key` a fingerprint of
    the key that signs media access, `storage` where its storage listens: all
    replicas have to agree on both.
    """

    id: str
    address: str
    version: str
    media_key: str
    storage: str
    start_time: datetime
    heartbeat_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What a `request_id` was used for: the digest of its content, and the job it made.

    It is forgotten at `expire_time`; None is never.
    """

    tenant: str
    request_id: str
    method: str
    digest: str
    job_id: str
    create_time: datetime
    expire_time: datetime | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRecord:
    """A tenant's account in the fair queue of one urgency, in units of cost.

    `finish_rank` is the finish tag of the last task that was ranked;
    `claimed_rank` is the highest rank of its tasks that were taken.
    """

    tenant: str
    urgency: int
    finish_rank: float = 0.0
    claimed_rank: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRecord:
    """What an engine made of the generated clip; history is kept. `height` in lines."""

    engine_id: str
    tenant: str
    codec: str
    height: int
    build_id: str
    fps: float
    measure_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRecord:
    """How fast an engine has been at real work: an average of pixels per second."""

    engine_id: str
    codec: str
    height_class: int
    build_id: str
    pixel_rate: float
    sample_count: int
    update_time: datetime
