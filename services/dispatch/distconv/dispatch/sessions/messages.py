"""What engines and dispatch say to one another, as values without gRPC."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from distconv.core.attempt import AttemptPhase, Outcome
from distconv.core.engine import EngineCapabilities, EngineMetrics
from distconv.core.media import MediaInfo
from distconv.core.names import AttemptRef
from distconv.core.profile import Profile
from distconv.core.progress import JobProgress
from distconv.core.transfer import TransferMode
from distconv.dispatch.objects.access import MediaAccess

# --- what an engine says ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReport:
    """An attempt as the engine sees it now."""

    ref: AttemptRef
    fencing_token: int
    phase: AttemptPhase
    progress: JobProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The first message of a session."""

    engine_id: str
    display_name: str
    version: str
    capabilities: EngineCapabilities
    slot_count: int
    attempts: Sequence[AttemptReport] = ()
    instance_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What is, at every interval."""

    attempts: Sequence[AttemptReport] = ()
    metrics: EngineMetrics | None = None
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentReply:
    """The answer to an assignment; `refusal` says why not."""

    ref: AttemptRef
    fencing_token: int
    accepted: bool
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """How an attempt ended; sent again until acknowledged."""

    ref: AttemptRef
    fencing_token: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class LogExcerpt:
    """What is worth keeping of an attempt's log."""

    ref: AttemptRef
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """What an engine made of the generated clip of one codec and height, lines."""

    codec: str
    height: int
    fps: float
    build_id: str
    measure_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkReport:
    """What a benchmark found."""

    results: Sequence[BenchmarkResult]


FromEngine = Heartbeat | AssignmentReply | AttemptResult | LogExcerpt | BenchmarkReport

# --- what dispatch says ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """The answer to Hello."""

    engine_id: str
    session_id: str
    heartbeat_interval: timedelta
    lease_duration: timedelta
    stale: Sequence[AttemptRef] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRenewal:
    """A lease that was pushed on."""

    ref: AttemptRef
    fencing_token: int
    expire_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatAck:
    """The answer to a heartbeat: which attempts hold, and which do not any more."""

    renewals: Sequence[LeaseRenewal] = ()
    stale: Sequence[AttemptRef] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeWork:
    """Find out what a source is."""

    source: MediaAccess
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeWork:
    """Encode a source; by file, with so many bytes of scratch disk."""

    source: MediaAccess
    media: MediaInfo
    sink: MediaAccess
    profile: Profile
    stall_timeout: timedelta
    transfer_mode: TransferMode
    scratch_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Work under a lease."""

    ref: AttemptRef
    fencing_token: int
    lease_expire_time: datetime
    work: ProbeWork | TranscodeWork


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAttempt:
    """Stop an attempt."""

    ref: AttemptRef
    fencing_token: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultAck:
    """A result was stored, or came too late and was refused: forget it."""

    ref: AttemptRef
    fencing_token: int
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Take nothing new; connect to one of `addresses` instead, if there are any."""

    reason: str
    addresses: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRequest:
    """Measure these codecs at these heights, when nothing else is to be done."""

    codecs: Sequence[str]
    heights: Sequence[int]


ToEngine = (
    Welcome | HeartbeatAck | Assignment | CancelAttempt | ResultAck | Drain | BenchmarkRequest
)
