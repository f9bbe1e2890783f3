"""Jobs, their tasks and attempts, as a client sees them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distconv.core.attempt_states import AttemptState
from distconv.core.failure import Failure
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.names import bare
from distconv.core.profile import Profile
from distconv.core.progress import JobProgress
from distconv.core.report import Note
from distconv.core.states import JobState
from distconv.core.task_states import TaskKind, TaskState
from distconv.core.transfer import TransferMode


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSource:
    """Where a job's source lies; `media` is what the probe found, None until it ran."""

    object: str
    file_name: str = ""
    size_bytes: int = 0
    media: MediaInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutput:
    """A published result; `notes` say what it does not hold as the source did."""

    object: str
    size_bytes: int
    sha256: str
    media: MediaInfo | None = None
    census: MediaCensus | None = None
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSize:
    """How large a job is, as measured: bytes, length, and width × height × frames.

    `duration` is None and `pixel_count` 0 until the source was probed.
    """

    size_bytes: int = 0
    duration: timedelta | None = None
    pixel_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A whole job as the server knew it at one moment.

    `error` is set in FAILED and RETRYING, `output` in COMPLETED, `wait_reason`
    while it waits for something. `attempt_count` counts attempts at any of its
    tasks, `retry_count` those that failed. `transfer_mode` is what was asked
    for, None when nothing was; what came of it is on each attempt.
    """

    name: str
    state: JobState
    source: JobSource
    profile: str
    profile_spec: Profile | None = None
    priority: int = 0
    deadline: datetime | None = None
    ttl: timedelta | None = None
    max_retries: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    creator: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    retry_time: datetime | None = None
    delete_time: datetime | None = None
    etag: str = ""
    progress: JobProgress | None = None
    engine: str = ""
    retry_count: int = 0
    error: Failure | None = None
    output: JobOutput | None = None
    wait_reason: str = ""
    engine_tags: tuple[str, ...] = ()
    size: JobSize = field(default_factory=JobSize)
    attempt_count: int = 0
    transfer_mode: TransferMode | None = None

    @property
    def id(self) -> str:
        """Return the name without its collection."""
        return bare(self.name, "jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """A page of jobs; `next_page_token` is empty on the last."""

    jobs: tuple[Job, ...]
    next_page_token: str = ""
    total_size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a task on one engine; `decision` says why it went there.

    `object` is where its output goes, empty for a probe.
    """

    name: str
    state: AttemptState
    engine: str
    fencing_token: int = 0
    lease_expire_time: datetime | None = None
    create_time: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    decision: str = ""
    error: Failure | None = None
    log_excerpt: tuple[str, ...] = ()
    transfer_mode: TransferMode | None = None
    estimate: timedelta | None = None
    object: str = ""

    @property
    def id(self) -> str:
        """Return the last part of the name."""
        return self.name.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one engine does in one go, with every try at it, oldest first.

    `requirement` is what it needs of an engine; `retry_time` is set while its
    next attempt is not due; `lost_count` counts the leases of it that were lost.
    """

    name: str
    kind: TaskKind
    state: TaskState
    depends_on: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    create_time: datetime | None = None
    requirement: str = ""
    retry_time: datetime | None = None
    lost_count: int = 0

    @property
    def id(self) -> str:
        """Return the last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def job(self) -> str:
        """Return the name of its job."""
        return self.name.partition("/tasks/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTransition:
    """One move of a job: when, from where (None: it was created), what happened and why.

    `attempt` names the attempt that it is of; empty when of none.
    """

    time: datetime | None
    from_state: JobState | None
    to_state: JobState
    event: str
    cause: str = ""
    attempt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobHistory:
    """All that happened to a job, oldest first."""

    transitions: tuple[JobTransition, ...]
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFit:
    """What speaks for or against an engine for a job, a sentence each.

    `estimate` is how long the next task is expected to take there, None when
    nothing is known to go by. `runs`: it does the job at this moment, which counts
    as fitting. `busy`: it would fit if it had a free slot.
    """

    engine: str
    fits: bool
    runs: bool = False
    busy: bool = False
    reasons: tuple[str, ...] = ()
    estimate: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a job waits, or why it went where it went, in plain words."""

    summary: str
    engines: tuple[EngineFit, ...] = ()
