"""Check one profile's raw values, as TOML gives them, and make a Profile of them.

Every message names the file, the profile, the key and what is allowed there.
"""

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import TypeVar

from distconv.core.errors import InvalidProfileError
from distconv.core.profile import (
    AudioCodec,
    AudioSettings,
    Container,
    Profile,
    VideoCodec,
    VideoSettings,
)

_X26X_PRESETS = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium",
    "slow", "slower", "veryslow", "placebo",
)  # fmt: skip
PRESETS: Mapping[VideoCodec, tuple[str, ...]] = {
    VideoCodec.COPY: (),
    VideoCodec.H264: _X26X_PRESETS,
    VideoCodec.HEVC: _X26X_PRESETS,
    VideoCodec.AV1: tuple(str(n) for n in range(14)),
    VideoCodec.VP9: tuple(str(n) for n in range(9)),
}
TUNES: Mapping[VideoCodec, tuple[str, ...]] = {
    VideoCodec.COPY: (),
    VideoCodec.H264: ("film", "animation", "grain", "stillimage", "fastdecode", "zerolatency"),
    VideoCodec.HEVC: ("grain", "animation", "fastdecode", "zerolatency"),
    VideoCodec.AV1: ("vq", "psnr", "ssim"),
    VideoCodec.VP9: (),
}
MAX_CRF: Mapping[VideoCodec, float] = {
    VideoCodec.COPY: 0,
    VideoCodec.H264: 51,
    VideoCodec.HEVC: 51,
    VideoCodec.AV1: 63,
    VideoCodec.VP9: 63,
}
# What each container can hold of what distconv encodes; COPY is judged by the
# plan, stream by stream.
VIDEO_IN: Mapping[Container, frozenset[VideoCodec]] = {
    Container.MP4: frozenset(VideoCodec),
    Container.MKV: frozenset(VideoCodec),
    Container.WEBM: frozenset({VideoCodec.AV1, VideoCodec.VP9, VideoCodec.COPY}),
}
AUDIO_IN: Mapping[Container, frozenset[AudioCodec]] = {
    Container.MP4: frozenset(AudioCodec),
    Container.MKV: frozenset(AudioCodec),
    Container.WEBM: frozenset({AudioCodec.OPUS, AudioCodec.COPY}),
}
MAX_SIDE = 16_384  # pixels; the largest that H.264 level 6.2 and the other encoders take
MAX_THREADS = 64
_BIT_RATE_PER_CHANNEL = {AudioCodec.AAC: (16_000, 256_000), AudioCodec.OPUS: (6_000, 256_000)}

_E = TypeVar("_E", bound=enum.StrEnum)
Check = Callable[[str, object], object]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value stands, for messages."""

    file: str
    profile: str

    def wrong(self, key: str, what: str) -> InvalidProfileError:
        """Make the error for `key`."""
        return InvalidProfileError(
            f"{self.file}: profile '{self.profile}': {key} {what}",
            field=key,
            metadata={"file": self.file, "profile": self.profile},
        )

    def table(self, key: str, value: object) -> dict[str, object]:
        """Take a table."""
        if not isinstance(value, dict):
            raise self.wrong(key, f"is {value!r}; it must be a table")
        return {str(k): v for k, v in value.items()}

    def text(self, key: str, value: object) -> str:
        """Take a text of at most 200 characters."""
        if not isinstance(value, str) or len(value) > 200:
            raise self.wrong(key, f"is {value!r}; it must be a text of at most 200 characters")
        return value

    def flag(self, key: str, value: object) -> bool:
        """Take true or false."""
        if not isinstance(value, bool):
            raise self.wrong(key, f"is {value!r}; it must be true or false")
        return value

    def integer(self, key: str, value: object, low: int, high: int) -> int:
        """Take a whole number between `low` and `high`."""
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.wrong(key, f"is {value!r}; it must be a whole number from {low} to {high}")
        return value

    def number(self, key: str, value: object, low: float, high: float) -> float:
        """Take a number between `low` and `high`."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not low <= value <= high
        ):
            raise self.wrong(key, f"is {value!r}; it must be a number from {low:g} to {high:g}")
        return float(value)

    def choice(self, key: str, value: object, kinds: type[_E]) -> _E:
        """Take one of an enumeration's values."""
        if not isinstance(value, str) or value not in list(kinds):
            raise self.wrong(key, f"is {value!r}; it must be one of {', '.join(kinds)}")
        return kinds(value)

    def word(self, key: str, value: object, allowed: tuple[str, ...]) -> str:
        """Take one of `allowed`, or nothing."""
        if value != "" and value not in allowed:
            what = f"one of {', '.join(allowed)}" if allowed else "left out for this codec"
            raise self.wrong(key, f"is {value!r}; it must be {what}")
        return str(value)

    def only(self, section: str, raw: Mapping[str, object], allowed: tuple[str, ...]) -> None:
        """Refuse keys that are not in `allowed`."""
        for key in raw:
            if key not in allowed:
                raise self.wrong(
                    f"{section}{key}", f"is not a key; the keys are {', '.join(allowed)}"
                )


def _names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(kind))


def _video(place: Place, raw: Mapping[str, object]) -> VideoSettings:
    place.only("video.", raw, _names(VideoSettings))
    codec = place.choice("video.codec", raw.get("codec"), VideoCodec)
    if codec is VideoCodec.COPY and set(raw) != {"codec"}:
        raise place.wrong("video", "has codec 'copy', which takes no other key")
    even = "; 0 is no bound"
    ten_bit = raw.get("ten_bit")
    settings = VideoSettings(
        codec=codec,
        crf=place.number("video.crf", raw.get("crf", 0), 0, MAX_CRF[codec]),
        preset=place.word("video.preset", raw.get("preset", ""), PRESETS[codec]),
        max_width=place.integer("video.max_width", raw.get("max_width", 0), 0, MAX_SIDE),
        max_height=place.integer("video.max_height", raw.get("max_height", 0), 0, MAX_SIDE),
        gop_s=place.number("video.gop_s", raw.get("gop_s", 0), 0, 60),
        tune=place.word("video.tune", raw.get("tune", ""), TUNES[codec]),
        threads=place.integer("video.threads", raw.get("threads", 0), 0, MAX_THREADS),
        ten_bit=None if ten_bit is None else place.flag("video.ten_bit", ten_bit),
    )
    if codec in (VideoCodec.AV1, VideoCodec.VP9) and settings.crf != int(settings.crf):
        raise place.wrong("video.crf", f"is {settings.crf:g}; {codec} takes whole numbers only")
    for key, side in (("max_width", settings.max_width), ("max_height", settings.max_height)):
        if 0 < side < 16:
            raise place.wrong(f"video.{key}", f"is {side}; it must be 16 to {MAX_SIDE}{even}")
    return settings


def _audio(place: Place, raw: Mapping[str, object]) -> AudioSettings:
    place.only("audio.", raw, _names(AudioSettings))
    codec = place.choice("audio.codec", raw.get("codec"), AudioCodec)
    if codec is AudioCodec.COPY:
        if set(raw) != {"codec"}:
            raise place.wrong("audio", "has codec 'copy', which takes no other key")
        return AudioSettings(codec=codec)
    low, high = _BIT_RATE_PER_CHANNEL[codec]
    rate = raw.get("bit_rate_per_channel", 64_000 if codec is AudioCodec.AAC else 48_000)
    return AudioSettings(
        codec=codec,
        bit_rate_per_channel=place.integer("audio.bit_rate_per_channel", rate, low, high),
        max_channels=place.integer("audio.max_channels", raw.get("max_channels", 0), 0, 8),
    )


def build_profile(name: str, raw: Mapping[str, object], *, file: str) -> Profile:
    """Make the profile `name` of raw values.

    Raises InvalidProfileError naming file, profile, key and the allowed range.
    """
    place = Place(file=file, profile=name)
    place.only("", raw, tuple(key for key in _names(Profile) if key != "name"))
    flags = {
        key: place.flag(key, raw.get(key, True))
        for key in ("subtitles", "chapters", "attachments", "metadata")
    }
    video, audio = raw.get("video"), raw.get("audio")
    if video is None and audio is None:
        raise place.wrong("video", "and audio are both missing; a profile needs one of them")
    profile = Profile(
        name=name,
        description=place.text("description", raw.get("description", "")),
        container=place.choice("container", raw.get("container"), Container),
        video=None if video is None else _video(place, place.table("video", video)),
        audio=None if audio is None else _audio(place, place.table("audio", audio)),
        **flags,
    )
    check_container(profile, file=file)
    return profile


def check_container(profile: Profile, *, file: str = "request") -> None:
    """Raise InvalidProfileError when the container cannot hold what the profile encodes."""
    place, container = Place(file=file, profile=profile.name), profile.container
    if profile.video and profile.video.codec not in VIDEO_IN[container]:
        raise place.wrong("container", _cannot(container, profile.video.codec, VIDEO_IN))
    if profile.audio and profile.audio.codec not in AUDIO_IN[container]:
        raise place.wrong("container", _cannot(container, profile.audio.codec, AUDIO_IN))


def _cannot(container: Container, codec: _E, table: Mapping[Container, frozenset[_E]]) -> str:
    fit = ", ".join(c for c in Container if codec in table[c])
    return f"is '{container}', which cannot hold {codec}; {codec} goes into {fit}"
