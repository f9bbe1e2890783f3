"""Transcode with ffmpeg: the first transcoder."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from distconv.core.engine import TranscoderInfo
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.profile import Container, Profile
from distconv.core.verify import require_output
from distconv.engine.transcoder import Encoded, EncodeReport
from distconv.media.benchmark import measurable_codecs, measure_speed
from distconv.media.feeding import PIECE_BYTES
from distconv.media.ffmpeg import FfmpegBuild, locate_ffmpeg
from distconv.media.outcome import TranscodeOutcome
from distconv.media.plan import TranscodePlan, plan_transcode
from distconv.media.ports import ByteSink, FileSink, RangedSource
from distconv.media.probe.prober import WarmProber
from distconv.media.process import RunLimits
from distconv.media.progress import Progress
from distconv.media.sandbox import Limits, RlimitSandbox
from distconv.media.transcode import TranscodeLimits, transcode
from distconv.media.transcode_file import transcode_file


class FfmpegTranscoder:
    """A Transcoder that runs one build of ffmpeg."""

    def __init__(self, build: FfmpegBuild) -> None:
        self._build = build

    @classmethod
    async def detect(cls, configured: Path | None) -> Self:
        """Find ffmpeg: the configured one, else on PATH, else bundled."""
        return cls(await locate_ffmpeg(configured))

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Self:
        """Make the same again without running ffmpeg."""
        return cls(FfmpegBuild.from_plain(state))

    def state(self) -> Mapping[str, Any]:
        """Return the build as JSON can hold it."""
        return self._build.to_plain()

    @property
    def info(self) -> TranscoderInfo:
        """Return what this build can do."""
        return TranscoderInfo(
            name="ffmpeg",
            version=self._build.version,
            build_id=self._build.build_id,
            encoders=tuple(sorted(self._build.encoders)),
            decoders=tuple(sorted(self._build.decoders)),
            muxers=tuple(sorted(self._build.muxers)),
            demuxers=tuple(sorted(self._build.demuxers)),
        )

    @property
    def codecs(self) -> tuple[str, ...]:
        """Return the video codecs that this build can encode."""
        return measurable_codecs(self._build)

    async def benchmark(self, codec: str, height: int, *, budget_s: float) -> float:
        """Encode a generated clip; return frames per second, 0 when it was too slow to tell."""
        return await measure_speed(
            codec, height, build=self._build, sandbox=RlimitSandbox(), budget_s=budget_s
        )

    def plan(self, profile: Profile, media: MediaInfo) -> "FfmpegPlan":
        """Plan an encode. Raises ImpossibleProfileError or MissingEncoderError."""
        return FfmpegPlan(plan_transcode(profile, media, self._build), media, self._build)


class FfmpegPlan:
    """A Plan that runs ffmpeg between a source and a sink."""

    def __init__(self, plan: TranscodePlan, media: MediaInfo, build: FfmpegBuild) -> None:
        self._plan = plan
        self._media = media
        self._build = build

    @property
    def container(self) -> Container:
        """The container of the output at rest."""
        return self._plan.container

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
        """Encode; cancelling the task ends ffmpeg."""
        teller = _Teller(on_report)
        outcome = await transcode(
            source,
            sink,
            plan=self._plan,
            info=self._media,
            build=self._build,
            sandbox=RlimitSandbox(),
            prober=prober,
            limits=TranscodeLimits(
                run=_limits(stall_timeout_s),
                read_ahead=max(1, read_ahead_bytes // PIECE_BYTES),
            ),
            on_start=lambda _: teller.tell(),
            on_progress=teller.progressed,
            on_read=teller.has_read,
        )
        return _encoded(outcome)

    async def run_file(
        self,
        source: Path,
        sink: FileSink,
        *,
        prober: WarmProber,
        stall_timeout_s: float,
        on_report: Callable[[EncodeReport], None],
    ) -> Encoded:
        """Encode a file; cancelling the task ends ffmpeg."""
        teller = _Teller(on_report)
        teller.has_read(self._media.size_bytes)
        outcome = await transcode_file(
            source,
            sink,
            plan=self._plan,
            info=self._media,
            build=self._build,
            sandbox=RlimitSandbox(),
            prober=prober,
            limits=_limits(stall_timeout_s),
            on_start=lambda _: teller.tell(),
            on_progress=teller.progressed,
        )
        return _encoded(outcome)

    def verify(self, encoded: Encoded, output: MediaCensus) -> None:
        """Compare what was fed with what came out. Raises VerificationError."""
        require_output(encoded.source_census, output, self._plan.expected)


def _limits(stall_timeout_s: float) -> RunLimits:
    # ffmpeg writes no regular file at all: what it makes goes through a pipe.
    return RunLimits(sandbox=Limits(file_size_bytes=0), stall_timeout_s=stall_timeout_s)


def _encoded(outcome: TranscodeOutcome) -> Encoded:
    return Encoded(
        source_census=outcome.source_census,
        frame_count=outcome.frame_count,
        argv=outcome.run.argv,
        notes=outcome.notes,
        source_sha256=outcome.source_sha256,
    )


class _Teller:
    """Put what ffmpeg says and what was read together into reports."""

    def __init__(self, on_report: Callable[[EncodeReport], None]) -> None:
        self._on_report = on_report
        self._last = EncodeReport()

    def tell(self) -> None:
        """Report what is known."""
        self._on_report(self._last)

    def progressed(self, progress: Progress) -> None:
        """Take a report of ffmpeg's."""
        # Towards the end ffmpeg says N/A for its time: what was reached stays reached.
        out_time_s = self._last.out_time_s if progress.out_time_s is None else progress.out_time_s
        self._last = replace(self._last, frame_count=progress.frame, out_time_s=out_time_s)
        self.tell()

    def has_read(self, read_bytes: int) -> None:
        """Note how much of the source was read; the next report tells it."""
        self._last = replace(self._last, read_bytes=read_bytes)
