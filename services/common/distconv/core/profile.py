"""Profiles: what a rendition is to be, as typed and checked values.

A profile says nothing of the machine that encodes or of the source; together
with a probe it becomes a plan (`distconv.media.plan`).
"""

from dataclasses import dataclass
from enum import StrEnum


class Container(StrEnum):
    """The containers that distconv writes; the value is the file name's suffix."""

    MP4 = "mp4"
    MKV = "mkv"
    WEBM = "webm"


class VideoCodec(StrEnum):
    """How the video is made; COPY keeps the source's packets as they are."""

    COPY = "copy"
    H264 = "h264"
    HEVC = "hevc"
    AV1 = "av1"
    VP9 = "vp9"


class AudioCodec(StrEnum):
    """How audio is made; COPY keeps the source's packets where the container can hold them."""

    COPY = "copy"
    AAC = "aac"
    OPUS = "opus"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSettings:
    """How to make the video of a rendition.

    `crf` is the codec's own quality scale (H.264, HEVC 0..51; AV1, VP9 0..63;
    lower is better). `preset` is the encoder's own word (x264, x265: ultrafast
    … placebo; SVT-AV1: 0..13; VP9: 0..8, its -cpu-used). `max_width` and
    `max_height` bound a landscape picture, and swapped a portrait one; 0 is
    no bound; a picture is never enlarged. `gop_s` is the longest time between
    key frames, seconds; 0 leaves it to the encoder. `threads` is fixed by the
    profile, not by the machine, so that the same task gives the same bytes on
    any engine; 0 chooses by the size of the picture alone.
    """

    codec: VideoCodec
    crf: float = 0.0
    preset: str = ""
    max_width: int = 0
    max_height: int = 0
    gop_s: float = 0.0
    tune: str = ""
    threads: int = 0
    ten_bit: bool | None = None  # None: as the source


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSettings:
    """How to make the audio of a rendition; every audio track of the source is made so.

    `bit_rate_per_channel` is bits per second for one channel (mono takes 1.5
    of it). `max_channels` mixes down beyond it; 0 is no bound.
    """

    codec: AudioCodec
    bit_rate_per_channel: int = 0
    max_channels: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A named recipe for a rendition.

    `video` or `audio` being None drops that kind on purpose. Subtitles,
    chapters, attachments and metadata survive unless the profile says
    otherwise here, as far as the container can hold them.
    """

    name: str
    description: str
    container: Container
    video: VideoSettings | None
    audio: AudioSettings | None
    subtitles: bool = True
    chapters: bool = True
    attachments: bool = True
    metadata: bool = True
