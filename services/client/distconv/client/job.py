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
class Job:
    """A whole job as the server knew it at one moment.

    `error` is set in FAILED and RETRYING, `output` in COMPLETED, `wait_reason`
    while it waits for something.
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
    """One try at a task on one engine; `decision` says why it went there."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one engine does in one go, with every try at it, oldest first."""

    name: str
    kind: TaskKind
    state: TaskState
    depends_on: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    create_time: datetime | None = None
