"""Profile ↔ its message."""

from distconv.core.errors import InvalidProfileError
from distconv.core.memo import ByIdentity
from distconv.core.names import bare, profile_name
from distconv.core.profile import (
    AudioCodec,
    AudioSettings,
    Container,
    Profile,
    VideoCodec,
    VideoSettings,
)
from distconv.v1 import profile_pb2 as pb

_CONTAINERS = {
    Container.MP4: pb.CONTAINER_MP4,
    Container.MKV: pb.CONTAINER_MKV,
    Container.WEBM: pb.CONTAINER_WEBM,
}
_VIDEO = {
    VideoCodec.COPY: pb.VIDEO_CODEC_COPY,
    VideoCodec.H264: pb.VIDEO_CODEC_H264,
    VideoCodec.HEVC: pb.VIDEO_CODEC_HEVC,
    VideoCodec.AV1: pb.VIDEO_CODEC_AV1,
    VideoCodec.VP9: pb.VIDEO_CODEC_VP9,
}
_AUDIO = {
    AudioCodec.COPY: pb.AUDIO_CODEC_COPY,
    AudioCodec.AAC: pb.AUDIO_CODEC_AAC,
    AudioCodec.OPUS: pb.AUDIO_CODEC_OPUS,
}
_CONTAINERS_BACK = {number: value for value, number in _CONTAINERS.items()}
_VIDEO_BACK = {number: value for value, number in _VIDEO.items()}
_AUDIO_BACK = {number: value for value, number in _AUDIO.items()}


def profile(value: Profile) -> pb.Profile:
    """Convert a profile to its message, which is shared: not to be changed."""
    return _profile(value)


def _make_profile(value: Profile) -> pb.Profile:
    return pb.Profile(
        name=profile_name(value.name),
        description=value.description,
        container=_CONTAINERS[value.container],
        video=None if value.video is None else _video(value.video),
        audio=None if value.audio is None else _audio(value.audio),
        subtitles=value.subtitles,
        chapters=value.chapters,
        attachments=value.attachments,
        metadata=value.metadata,
    )


_profile = ByIdentity(_make_profile)


def to_profile(message: pb.Profile) -> Profile:
    """Convert a message to a profile; its values are not checked here.

    Raises InvalidProfileError when a container or codec is none of ours.
    """
    container = to_container(message.container)
    if container is None:
        raise InvalidProfileError("the profile names no container", field="profile_spec.container")
    return Profile(
        name=bare(message.name, "profiles"),
        description=message.description,
        container=container,
        video=_to_video(message.video) if message.HasField("video") else None,
        audio=_to_audio(message.audio) if message.HasField("audio") else None,
        subtitles=message.subtitles,
        chapters=message.chapters,
        attachments=message.attachments,
        metadata=message.metadata,
    )


def container(value: Container | None) -> pb.Container.ValueType:
    """Convert a container to its number; None is UNSPECIFIED."""
    return pb.CONTAINER_UNSPECIFIED if value is None else _CONTAINERS[value]


def to_container(number: pb.Container.ValueType) -> Container | None:
    """Convert a number to a container; UNSPECIFIED is None.

    Raises InvalidProfileError.
    """
    if number == pb.CONTAINER_UNSPECIFIED:
        return None
    try:
        return _CONTAINERS_BACK[number]
    except KeyError:
        raise InvalidProfileError(f"{number} is not a container", field="container") from None


def _video(value: VideoSettings) -> pb.VideoSettings:
    return pb.VideoSettings(
        codec=_VIDEO[value.codec],
        crf=value.crf,
        preset=value.preset,
        max_width=value.max_width,
        max_height=value.max_height,
        gop_s=value.gop_s,
        tune=value.tune,
        threads=value.threads,
        ten_bit=value.ten_bit,
    )


def _to_video(message: pb.VideoSettings) -> VideoSettings:
    try:
        codec = _VIDEO_BACK[message.codec]
    except KeyError:
        raise InvalidProfileError(
            f"{message.codec} is not a video codec", field="profile_spec.video.codec"
        ) from None
    return VideoSettings(
        codec=codec,
        crf=message.crf,
        preset=message.preset,
        max_width=message.max_width,
        max_height=message.max_height,
        gop_s=message.gop_s,
        tune=message.tune,
        threads=message.threads,
        ten_bit=message.ten_bit if message.HasField("ten_bit") else None,
    )


def _audio(value: AudioSettings) -> pb.AudioSettings:
    return pb.AudioSettings(
        codec=_AUDIO[value.codec],
        bit_rate_per_channel=value.bit_rate_per_channel,
        max_channels=value.max_channels,
    )


def _to_audio(message: pb.AudioSettings) -> AudioSettings:
    try:
        codec = _AUDIO_BACK[message.codec]
    except KeyError:
        raise InvalidProfileError(
            f"{message.codec} is not an audio codec", field="profile_spec.audio.codec"
        ) from None
    return AudioSettings(
        codec=codec,
        bit_rate_per_channel=message.bit_rate_per_channel,
        max_channels=message.max_channels,
    )
