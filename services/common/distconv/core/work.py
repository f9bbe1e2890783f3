"""How much work a task is: sizes as measured, and cost in units. Pure.

One unit is one megapixel made into H.264 with preset "fast": 36 ms of one core
where the factors below were measured. They are processor times relative to it,
from ffmpeg 9.0.2 (libx264, libx265, SVT-AV1, libvpx-vp9) on two real clips (a
street, 768×432, and bottles on a belt, 640×360) made 360 and 720 lines high with
the shipped profiles' settings, decoding taken away; codec factors are the
geometric mean of the four. They need not be exact: they decide how much a task
counts in fair sharing, and how a speed known for one codec is carried over to
another until the engine has a history of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from distconv.core.fair_queue import MIN_COST
from distconv.core.media import MediaInfo, StreamInfo, StreamKind
from distconv.core.profile import AudioCodec, Profile, VideoCodec, VideoSettings

PIXELS_PER_UNIT = 1_000_000
# What one core of the machine where the factors were measured does in a second, units.
UNITS_PER_CORE_S = 28.0

CODEC_FACTORS: Mapping[VideoCodec, float] = {
    VideoCodec.COPY: 0.0,
    VideoCodec.H264: 1.0,
    VideoCodec.HEVC: 1.8,
    VideoCodec.AV1: 0.6,
    VideoCodec.VP9: 2.1,
}
# Relative to the shipped profiles' presets. Presets between two that were measured lie between.
_PRESET_FACTORS: Mapping[VideoCodec, Mapping[str, float]] = {
    VideoCodec.COPY: {},
    VideoCodec.H264: {
        "ultrafast": 0.2, "superfast": 0.3, "veryfast": 0.4, "faster": 0.8, "fast": 1.0,
        "medium": 1.0, "slow": 1.4, "slower": 2.2, "veryslow": 3.6, "placebo": 13.0,
    },
    VideoCodec.HEVC: {
        "ultrafast": 0.3, "superfast": 0.5, "veryfast": 0.7, "faster": 0.7, "fast": 1.0,
        "medium": 1.0, "slow": 2.6, "slower": 12.0, "veryslow": 16.0, "placebo": 30.0,
    },
    VideoCodec.AV1: {
        "0": 35.0, "1": 20.0, "2": 11.0, "3": 6.0, "4": 3.5, "5": 2.6, "6": 1.9, "7": 1.4,
        "8": 1.0, "9": 0.7, "10": 0.5, "11": 0.4, "12": 0.3, "13": 0.3,
    },
    VideoCodec.VP9: {"0": 2.3, "1": 1.7, "2": 1.4, "3": 1.2, "4": 1.0},
}  # fmt: skip
# What an encoder falls back to when a profile names no preset (`distconv.media.plan`).
_DEFAULT_PRESETS: Mapping[VideoCodec, str] = {
    VideoCodec.COPY: "",
    VideoCodec.H264: "medium",
    VideoCodec.HEVC: "medium",
    VideoCodec.AV1: "8",
    VideoCodec.VP9: "4",
}
_DECODE_FACTOR = 0.1  # per pixel of the source: decoding and scaling, measured as above
_AUDIO_UNITS_PER_S = 0.4  # AAC 0.5, Opus 0.2 per second of one stereo track, measured as above
_UNITS_PER_MB = 0.1  # reading, hashing and demuxing the source, from stream copies
# Where a container says neither frames nor length: about what H.264 for the web needs.
_ASSUMED_BITS_PER_PIXEL = 0.1
_ASSUMED_FRAME_RATE = 25.0
_MEGABYTE = 1_000_000
# Files lie: what is beyond these is not believed, and no store could keep it.
_MAX_DURATION_S = 100 * 365 * 86_400.0
_MAX_COUNT = (1 << 63) - 1
_MAX_UNITS = 1e9  # a year of one core
# A probe reads an index, wherever it lies, and little more; a larger file has a larger one.
_PROBE_UNITS = 1.0
_PROBE_UNITS_PER_GB = 0.5
_MAX_PROBE_UNITS = 10.0
# A rule of thumb, not a measurement: what an encoder holds beside its pictures, and the pictures
# that look-ahead, references and frame threads keep, by codec.
_BASE_MEMORY_BYTES = 256 << 20
_PICTURE_BYTES_PER_PIXEL = 1.5  # 4:2:0 with eight bits
_PICTURES_HELD: Mapping[VideoCodec, int] = {
    VideoCodec.COPY: 0,
    VideoCodec.H264: 100,
    VideoCodec.HEVC: 130,
    VideoCodec.AV1: 180,
    VideoCodec.VP9: 60,
}
_ASSUMED_ASPECT = 16 / 9


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSize:
    """How large a job's source is, as measured: never what a client said.

    `duration` None: unknown; `pixel_count` is width × height × frames of its
    video, 0 when unknown or when there is none.
    """

    size_bytes: int
    duration: timedelta | None = None
    pixel_count: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one task is: `cost` in units; `height` of the picture it makes, lines, 0 for none."""

    cost: float
    height: int = 0


def job_size(size_bytes: int, media: MediaInfo | None) -> JobSize:
    """Return the size of a source: `size_bytes` as storage counted, the rest from the probe."""
    if media is None:
        return JobSize(size_bytes=size_bytes)
    return JobSize(
        size_bytes=size_bytes,
        duration=_span(media.duration_s),
        pixel_count=min(_source_pixels(size_bytes, media), _MAX_COUNT),
    )


def _span(duration_s: float | None) -> timedelta | None:
    """Return a length; None when it is unknown, or one that no video has, whatever a file says."""
    if not duration_s or not 0 < duration_s <= _MAX_DURATION_S:
        return None
    return timedelta(seconds=duration_s)


def probe_work(size_bytes: int) -> Work:
    """Return the work of probing a source, of which nothing but its size is known."""
    cost = _PROBE_UNITS + _PROBE_UNITS_PER_GB * size_bytes / (1000 * _MEGABYTE)
    return Work(cost=min(cost, _MAX_PROBE_UNITS))


def transcode_work(profile: Profile, size_bytes: int, media: MediaInfo | None) -> Work:
    """Return the work of making a source into a profile; from its bytes alone without a probe."""
    pixels = _source_pixels(size_bytes, media)
    cost = _UNITS_PER_MB * size_bytes / _MEGABYTE + _audio_units(profile, size_bytes, media)
    height = 0
    video = None if media is None else media.video
    if profile.video is not None and (media is None or video is not None):
        scale, height = _scaling(profile.video, video)
        made = pixels * scale * codec_factor(profile.video.codec, profile.video.preset)
        decoded = 0.0 if profile.video.codec is VideoCodec.COPY else pixels * _DECODE_FACTOR
        cost += (made + decoded) / PIXELS_PER_UNIT
    return Work(cost=min(max(cost, MIN_COST), _MAX_UNITS), height=height)


def codec_factor(codec: VideoCodec, preset: str = "") -> float:
    """Return what a pixel costs with a codec and preset, relative to H.264 "fast"."""
    presets = _PRESET_FACTORS[codec]
    return CODEC_FACTORS[codec] * presets.get(preset or _DEFAULT_PRESETS[codec], 1.0)


@lru_cache(maxsize=1024)
def memory_bytes(codec: VideoCodec | None, height: int) -> int:
    """Return about how much memory encoding pictures of `height` lines takes, bytes."""
    if codec is None or not height:
        return _BASE_MEMORY_BYTES
    picture = height * height * _ASSUMED_ASPECT * _PICTURE_BYTES_PER_PIXEL
    return _BASE_MEMORY_BYTES + int(_PICTURES_HELD[codec] * picture)


def _source_pixels(size_bytes: int, media: MediaInfo | None) -> int:
    if media is None:
        return int(size_bytes * 8 / _ASSUMED_BITS_PER_PIXEL)
    video = media.video
    if video is None:
        return 0
    frames = video.frame_count or _frames(video, media)
    if frames:
        return video.width * video.height * frames
    return int(size_bytes * 8 / _ASSUMED_BITS_PER_PIXEL)


def _frames(video: StreamInfo, media: MediaInfo) -> int:
    length = _span(video.duration_s) or _span(media.duration_s)
    return int(length.total_seconds() * _rate(video.frame_rate)) if length else 0


def _rate(text: str) -> float:
    over, _, under = text.partition("/")
    try:
        rate = float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        return _ASSUMED_FRAME_RATE
    return rate if 0 < rate < 1000 else _ASSUMED_FRAME_RATE


def _audio_units(profile: Profile, size_bytes: int, media: MediaInfo | None) -> float:
    if profile.audio is None or profile.audio.codec is AudioCodec.COPY or media is None:
        return 0.0
    tracks = len(media.of_kind(StreamKind.AUDIO))
    length = _span(media.duration_s)
    duration_s = length.total_seconds() if length else size_bytes * 8 / max(media.bit_rate, 64_000)
    return tracks * duration_s * _AUDIO_UNITS_PER_S


def _scaling(settings: VideoSettings, video: StreamInfo | None) -> tuple[float, int]:
    """Return the share of the source's pixels that is made, and the height of what is made."""
    if video is None or not video.width or not video.height:
        return 1.0, settings.max_height
    width, height = video.width, video.height
    box_width, box_height = settings.max_width or width, settings.max_height or height
    if height > width and settings.max_width and settings.max_height:  # a portrait picture
        box_width, box_height = box_height, box_width
    side = min(1.0, box_width / width, box_height / height)
    if settings.codec is VideoCodec.COPY:
        side = 1.0
    # The class that a speed is kept for counts lines across the shorter side: 1080×1920 is 1080.
    return side * side, max(round(min(width, height) * side), 1)
