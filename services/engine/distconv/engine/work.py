"""What an engine is asked to do and what it says of it, as values without gRPC."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distconv.core.attempt import AttemptPhase, Outcome
from distconv.core.media import MediaInfo
from distconv.core.profile import Profile
from distconv.core.progress import JobProgress
from distconv.core.transfer import TransferMode


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaGrant:
    """Signed access to one object: where storage listens, and the secret token."""

    addresses: tuple[str, ...]
    token: str = field(repr=False)
    object_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeWork:
    """Find out what a source is."""

    source: MediaGrant
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeWork:
    """Encode a source; the attempt ends as stalled after `stall_timeout` without progress.

    By file, up to `scratch_bytes` of scratch disk are reserved for it.
    """

    source: MediaGrant
    media: MediaInfo
    sink: MediaGrant
    profile: Profile
    stall_timeout: timedelta
    transfer_mode: TransferMode = TransferMode.STREAMING
    scratch_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Work under a lease."""

    attempt: str
    fencing_token: int
    lease_expire_time: datetime
    work: ProbeWork | TranscodeWork


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReport:
    """An attempt as the engine sees it now."""

    attempt: str
    fencing_token: int
    phase: AttemptPhase
    progress: JobProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptResult:
    """How an attempt ended."""

    attempt: str
    fencing_token: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedResult:
    """How an attempt ended, as it goes on the wire; the supervisor looks no further."""

    attempt: str
    fencing_token: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLines:
    """Lines of an attempt's log that are worth keeping."""

    attempt: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a benchmark found: frames per second of one codec at one height."""

    codec: str
    height: int
    fps: float
    build_id: str
    measure_time: datetime


Said = AttemptReport | SealedResult | LogLines
