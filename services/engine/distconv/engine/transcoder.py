"""The port through which an engine uses a transcoding tool."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, Self

from distconv.core.engine import TranscoderInfo
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.profile import Container, Profile
from distconv.core.report import Note
from distconv.media.ports import ByteSink, FileSink, RangedSource
from distconv.media.probe.prober import WarmProber

GROUP = "distconv.transcoders"


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeReport:
    """How far an encode has come; `started` is the first, made when the tool runs."""

    frame_count: int = 0
    out_time_s: float = 0.0
    read_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """What an encode did, as far as the tool's side knows.

    `notes` say what the output does not hold as the source did; `source_sha256`
    is the digest of what was fed, None when that was not the source as it lies.
    """

    source_census: MediaCensus
    frame_count: int
    argv: tuple[str, ...]
    notes: tuple[Note, ...]
    source_sha256: str | None = None


class Plan(Protocol):
    """A command for one source and profile, and what will become of every stream."""

    @property
    def container(self) -> Container:
        """The container of the output at rest."""
        ...

    async def run(
        self,
        source: RangedSource,
        sink: ByteSink,
        *,
        prober: WarmProber,
        stall_timeout_s: float,
        read_ahead_bytes: int,
        on_report: Callable[[EncodeReport], None],
    ) -> Encoded:
        """Encode; cancelling the task ends the tool. Raises the tree's media errors."""
        ...

    async def run_file(
        self,
        source: Path,
        sink: FileSink,
        *,
        prober: WarmProber,
        stall_timeout_s: float,
        on_report: Callable[[EncodeReport], None],
    ) -> Encoded:
        """Encode a file, which nobody changes, as `run` does.

        Where the sink gathers the output in a file, that is checked first.
        """
        ...

    def verify(self, encoded: Encoded, output: MediaCensus) -> None:
        """Compare what was fed with what came out. Raises VerificationError."""
        ...


class Transcoder(Protocol):
    """A transcoding tool. Instances are made by `detect`, and once more in every runner."""

    @classmethod
    async def detect(cls, configured: Path | None) -> Self:
        """Find the tool on this machine. Raises MissingEncoderError."""
        ...

    @classmethod
    def restore(cls, state: Mapping[str, object]) -> Self:
        """Make the same again from `state` without asking the tool."""
        ...

    def state(self) -> Mapping[str, object]:
        """Return what `restore` needs, as JSON can hold it."""
        ...

    @property
    def info(self) -> TranscoderInfo:
        """Return what the tool can do."""
        ...

    @property
    def codecs(self) -> tuple[str, ...]:
        """Return the video codecs that it can encode: "h264"."""
        ...

    async def benchmark(self, codec: str, height: int, *, budget_s: float) -> float:
        """Encode a generated clip of `height` lines as a task would; return frames per second.

        It takes `budget_s` at most; 0 says that this was too little to tell.
        Cancelling ends the tool. Raises MissingEncoderError, EncodeFailedError.
        """
        ...

    def plan(self, profile: Profile, media: MediaInfo) -> Plan:
        """Plan an encode. Raises ImpossibleProfileError or MissingEncoderError."""
        ...


def find_transcoder(name: str) -> type[Transcoder]:
    """Return an installed transcoder. Raises LookupError."""
    for point in entry_points(group=GROUP, name=name):
        found: type[Transcoder] = point.load()
        return found
    raise LookupError(f"no transcoder '{name}' is installed")
