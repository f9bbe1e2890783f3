"""What a probe says of a source, and what a census says of a finished file.

Values only. Times are seconds as float where they come from a container's
clock; `None` means that the container does not say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class StreamKind(StrEnum):
    """The kinds of stream that a container can hold."""

    VIDEO = "video"
    AUDIO = "audio"
    SUBTITLE = "subtitle"
    ATTACHMENT = "attachment"
    DATA = "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class MasteringDisplay:
    """HDR10 static metadata, SMPTE ST 2086.

    Chromaticities are CIE 1931 x, y in 0..1; luminances are cd/m².
    """

    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]
    white_point: tuple[float, float]
    min_luminance: float
    max_luminance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLight:
    """HDR10 content light levels, CTA-861.3, in cd/m²."""

    max_content: int
    max_frame_average: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """One stream of a source.

    `index` is its index in ffmpeg's order. Fields that do not apply to its
    kind are 0, empty or None. `rotation_degrees` is clockwise, as a player
    has to turn the picture: 0, 90, 180 or 270.
    """

    index: int
    kind: StreamKind
    codec: str
    language: str = ""
    title: str = ""
    dispositions: tuple[str, ...] = ()
    bit_rate: int = 0
    start_time_s: float | None = None
    duration_s: float | None = None
    frame_count: int = 0
    # video
    width: int = 0
    height: int = 0
    pixel_format: str = ""
    frame_rate: str = ""  # average, as the fraction "30000/1001"; empty when unknown
    sample_aspect_ratio: str = ""  # "1:1"; empty when unknown
    field_order: str = ""  # "progressive", "tt", "bb", …; empty when unknown
    rotation_degrees: int = 0
    color_primaries: str = ""  # ffmpeg's names: "bt2020", …
    color_transfer: str = ""
    color_space: str = ""
    color_range: str = ""
    chroma_location: str = ""
    mastering_display: MasteringDisplay | None = None
    content_light: ContentLight | None = None
    attached_picture: bool = False
    # audio
    sample_rate: int = 0
    channels: int = 0
    channel_layout: str = ""
    # attachment
    file_name: str = ""
    mime_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """A chapter; times in seconds from the start."""

    start_time_s: float
    end_time_s: float
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """What a probe says of a source.

    `container` is ffmpeg's demuxer name as it is passed to `-f`: "matroska",
    "mov", "mpegts", …; `index_last` is true for an MP4 or MOV whose `moov`
    lies behind its media. `pipe_obstacle` says why it cannot go through a pipe
    and has to be a file; empty when it can.
    """

    container: str
    size_bytes: int
    duration_s: float | None
    bit_rate: int
    streams: tuple[StreamInfo, ...]
    chapters: tuple[Chapter, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    index_last: bool = False
    warnings: tuple[str, ...] = ()
    pipe_obstacle: str = ""

    @property
    def video(self) -> StreamInfo | None:
        """Return the first video stream that is not an attached picture."""
        return next(
            (s for s in self.streams if s.kind is StreamKind.VIDEO and not s.attached_picture), None
        )

    def of_kind(self, kind: StreamKind) -> tuple[StreamInfo, ...]:
        """Return the streams of one kind, in order."""
        return tuple(s for s in self.streams if s.kind is kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCensus:
    """What was counted in one stream by reading every packet of it.

    Times are seconds on the container's clock: `first_time_s` is the lowest
    presentation time, `end_time_s` the highest presentation time plus that
    packet's duration. `packet_bytes` is the sum of payload sizes. Of the packets,
    `hidden_count` are decoded and never shown (an edit list cuts them away);
    they do not count for the times.
    """

    index: int
    kind: StreamKind
    codec: str
    packet_count: int
    packet_bytes: int
    first_time_s: float | None
    end_time_s: float | None
    hidden_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCensus:
    """What was counted in a whole file; `complete` is false when demuxing broke off.

    `read_bytes` is how many bytes the demuxer was given.
    """

    container: str
    read_bytes: int
    streams: tuple[StreamCensus, ...]
    complete: bool
    problem: str = ""
