"""What an engine says of an attempt: what it is doing, and how it ended."""

from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from distconv.core.failure import Failure
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.report import Note


class AttemptPhase(IntEnum):
    """What an attempt is doing; a later phase stands for those before it."""

    STARTING = 1
    ENCODING = 2
    FINISHING = 3
    ENDED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A probe succeeded."""

    media: MediaInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcoded:
    """A transcode succeeded: its output is committed and was checked by the engine.

    `source_wait` is how long it waited for a source that was still being uploaded.
    """

    object_id: str
    size_bytes: int
    sha256: str
    source_census: MediaCensus
    output_census: MediaCensus
    media: MediaInfo
    notes: tuple[Note, ...] = ()
    frame_count: int = 0
    argv: tuple[str, ...] = ()
    source_wait: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The engine gives the attempt back unfinished; `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The attempt was cancelled as dispatch asked."""


Outcome = Probed | Transcoded | Failure | Returned | Cancelled
