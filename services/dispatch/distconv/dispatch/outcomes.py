"""How an attempt can end, as the engine tells it."""

from dataclasses import dataclass

from distconv.core.failure import Failure
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.report import Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A probe succeeded."""

    media: MediaInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcoded:
    """A transcode succeeded: its output is committed and was checked by the engine."""

    object_id: str
    size_bytes: int
    sha256: str
    source_census: MediaCensus
    output_census: MediaCensus
    media: MediaInfo
    notes: tuple[Note, ...] = ()
    frame_count: int = 0
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The engine gives the attempt back unfinished; `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """The attempt was cancelled as dispatch asked."""


Outcome = Probed | Transcoded | Failure | Returned | Cancelled
