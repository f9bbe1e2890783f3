"""What a plan consists of."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from distconv.core.media import StreamInfo, StreamKind
from distconv.core.profile import Container
from distconv.core.report import Note, NoteSeverity
from distconv.core.verify import ExpectedStream
from distconv.media.finish import FinishSpec

PROGRESS_PERIOD_S = 0.5


class StreamMode(StrEnum):
    """How a stream gets into the output."""

    COPY = "copy"
    ENCODE = "encode"
    CONVERT = "convert"  # a subtitle from one text form to another
    CARRY = "carry"  # a cover picture: put in when the file is finished


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputStream:
    """A stream of the output and where it comes from.

    `index` is its index in what ffmpeg writes; -1 for CARRY, which ffmpeg does
    not write. `codec` is ffmpeg's name of what it holds then.
    """

    index: int
    source: StreamInfo
    mode: StreamMode
    codec: str

    @property
    def kind(self) -> StreamKind:
        """Return its kind."""
        return self.source.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodePlan:
    """What to run, what to expect of it, and what to tell the user.

    `wire_format` is the muxer that writes to the pipe, `finish` what is to be
    done at rest to make `container` of it.
    """

    profile: str
    container: Container
    demuxer: str
    wire_format: str
    output_args: tuple[str, ...]
    streams: tuple[OutputStream, ...]
    finish: FinishSpec
    input_args: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    encoders: frozenset[str] = field(default_factory=frozenset)

    @property
    def expected(self) -> tuple[ExpectedStream, ...]:
        """Return what a census of the output has to show; for `distconv.core.verify`."""
        return tuple(
            ExpectedStream(
                source_index=s.source.index,
                output_index=s.index,
                kind=s.kind,
                copied=s.mode is StreamMode.COPY,
            )
            for s in self.streams
            if s.mode is not StreamMode.CARRY
        )

    def argv(self, ffmpeg: Path, progress_fd: int) -> tuple[str, ...]:
        """Return the command that reads the source from stdin and writes to stdout."""
        return self._argv(ffmpeg, progress_fd, "pipe:0", "pipe")

    def file_argv(self, ffmpeg: Path, progress_fd: int, source: Path) -> tuple[str, ...]:
        """Return the command that reads the source from a file and writes to stdout."""
        return self._argv(ffmpeg, progress_fd, f"file:{source}", "file,pipe")

    def _argv(self, ffmpeg: Path, progress_fd: int, source: str, protocols: str) -> tuple[str, ...]:
        return (
            *(str(ffmpeg), "-nostdin", "-hide_banner", "-loglevel", "warning", "-nostats"),
            *("-progress", f"pipe:{progress_fd}", "-stats_period", f"{PROGRESS_PERIOD_S:g}"),
            *("-protocol_whitelist", protocols, "-format_whitelist", self.demuxer),
            *self.input_args,
            *("-f", self.demuxer, "-i", source),
            *self.output_args,
            "pipe:1",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What becomes of one stream of the source.

    `mode` None drops it. `options` are ffmpeg's per-stream options without
    their stream specifier.
    """

    source: StreamInfo
    mode: StreamMode | None
    codec: str = ""
    encoder: str = ""
    options: tuple[tuple[str, str], ...] = ()
    notes: tuple[Note, ...] = ()


def lost(source: StreamInfo, message: str) -> Choice:
    """Drop a stream, and say why."""
    note = Note(severity=NoteSeverity.LOST, stream_index=source.index, message=message)
    return Choice(source=source, mode=None, notes=(note,))


def copied(source: StreamInfo, *options: tuple[str, str], notes: tuple[Note, ...] = ()) -> Choice:
    """Keep a stream's packets as they are."""
    return Choice(
        source=source,
        mode=StreamMode.COPY,
        codec=source.codec,
        options=(("c", "copy"), *options),
        notes=notes,
    )
