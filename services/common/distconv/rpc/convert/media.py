"""MediaInfo and MediaCensus ↔ their messages."""

from typing import Any

from distconv.core.errors import InvalidArgumentError
from distconv.core.media import (
    Chapter,
    ContentLight,
    MasteringDisplay,
    MediaCensus,
    MediaInfo,
    StreamCensus,
    StreamInfo,
    StreamKind,
)
from distconv.core.memo import ByIdentity
from distconv.rpc.convert.plain import finite, printable
from distconv.v1 import media_pb2 as pb

# Of why a source cannot go through a pipe: a sentence.
MAX_OBSTACLE_CHARS = 500
_KINDS = {
    StreamKind.VIDEO: pb.STREAM_KIND_VIDEO,
    StreamKind.AUDIO: pb.STREAM_KIND_AUDIO,
    StreamKind.SUBTITLE: pb.STREAM_KIND_SUBTITLE,
    StreamKind.ATTACHMENT: pb.STREAM_KIND_ATTACHMENT,
    StreamKind.DATA: pb.STREAM_KIND_DATA,
}
_KINDS_BACK = {number: kind for kind, number in _KINDS.items()}

# Fields that have the same name and type on both sides.
_PLAIN = (
    "index", "codec", "language", "title", "bit_rate", "start_time_s", "duration_s", "frame_count",
    "width", "height", "pixel_format", "frame_rate", "sample_aspect_ratio", "field_order",
    "rotation_degrees", "color_primaries", "color_transfer", "color_space", "color_range",
    "chroma_location", "attached_picture", "sample_rate", "channels", "channel_layout",
    "file_name", "mime_type",
)  # fmt: skip
_PLAIN_NAMES = frozenset(_PLAIN)


def media_info(info: MediaInfo) -> pb.MediaInfo:
    """Convert a probe's answer to its message, which is shared: not to be changed."""
    return _media_info(info)


def _make_media_info(info: MediaInfo) -> pb.MediaInfo:
    return pb.MediaInfo(
        container=info.container,
        size_bytes=info.size_bytes,
        duration_s=info.duration_s,
        bit_rate=info.bit_rate,
        streams=[_stream(s) for s in info.streams],
        chapters=[chapter(c) for c in info.chapters],
        tags=dict(info.tags),
        index_last=info.index_last,
        warnings=info.warnings,
        pipe_obstacle=info.pipe_obstacle,
    )


_media_info = ByIdentity(_make_media_info)


def to_media_info(message: pb.MediaInfo) -> MediaInfo:
    """Convert a message to a probe's answer. Raises InvalidArgumentError."""
    return MediaInfo(
        container=message.container,
        size_bytes=message.size_bytes,
        duration_s=finite(message.duration_s) if message.HasField("duration_s") else None,
        bit_rate=message.bit_rate,
        streams=tuple(_to_stream(s) for s in message.streams),
        chapters=tuple(to_chapter(c) for c in message.chapters),
        tags=dict(message.tags),
        index_last=message.index_last,
        warnings=tuple(message.warnings),
        pipe_obstacle=printable(message.pipe_obstacle[:MAX_OBSTACLE_CHARS]),
    )


def chapter(value: Chapter) -> pb.Chapter:
    """Convert a chapter to its message."""
    return pb.Chapter(
        start_time_s=value.start_time_s, end_time_s=value.end_time_s, title=value.title
    )


def to_chapter(message: pb.Chapter) -> Chapter:
    """Convert a message to a chapter."""
    return Chapter(
        start_time_s=finite(message.start_time_s),
        end_time_s=finite(message.end_time_s),
        title=message.title,
    )


def media_census(census: MediaCensus) -> pb.MediaCensus:
    """Convert a census to its message."""
    return pb.MediaCensus(
        container=census.container,
        read_bytes=census.read_bytes,
        complete=census.complete,
        problem=census.problem,
        streams=[
            pb.StreamCensus(
                index=s.index,
                kind=_KINDS[s.kind],
                codec=s.codec,
                packet_count=s.packet_count,
                packet_bytes=s.packet_bytes,
                first_time_s=s.first_time_s,
                end_time_s=s.end_time_s,
                hidden_count=s.hidden_count,
            )
            for s in census.streams
        ],
    )


def to_media_census(message: pb.MediaCensus) -> MediaCensus:
    """Convert a message to a census. Raises InvalidArgumentError."""
    return MediaCensus(
        container=message.container,
        read_bytes=message.read_bytes,
        complete=message.complete,
        problem=message.problem,
        streams=tuple(
            StreamCensus(
                index=s.index,
                kind=_kind(s.kind),
                codec=s.codec,
                packet_count=s.packet_count,
                packet_bytes=s.packet_bytes,
                first_time_s=finite(s.first_time_s) if s.HasField("first_time_s") else None,
                end_time_s=finite(s.end_time_s) if s.HasField("end_time_s") else None,
                hidden_count=s.hidden_count,
            )
            for s in message.streams
        ),
    )


def _stream(s: StreamInfo) -> pb.StreamInfo:
    message = pb.StreamInfo(kind=_KINDS[s.kind], dispositions=s.dispositions)
    for name in _PLAIN:
        value = getattr(s, name)
        if value is not None:
            setattr(message, name, value)
    if s.mastering_display is not None:
        message.mastering_display.CopyFrom(_mastering(s.mastering_display))
    if s.content_light is not None:
        message.content_light.max_content = s.content_light.max_content
        message.content_light.max_frame_average = s.content_light.max_frame_average
    return message


def _to_stream(message: pb.StreamInfo) -> StreamInfo:
    # The fields that are set: a few of some thirty. What is not set has the value's own default.
    plain: dict[str, Any] = {"index": 0, "codec": ""} | {
        field.name: finite(value) if isinstance(value, float) else value
        for field, value in message.ListFields()
        if field.name in _PLAIN_NAMES
    }
    light = message.content_light
    return StreamInfo(
        kind=_kind(message.kind),
        dispositions=tuple(message.dispositions),
        mastering_display=_to_mastering(message.mastering_display)
        if message.HasField("mastering_display")
        else None,
        content_light=ContentLight(
            max_content=light.max_content, max_frame_average=light.max_frame_average
        )
        if message.HasField("content_light")
        else None,
        **plain,
    )


def _kind(number: pb.StreamKind.ValueType) -> StreamKind:
    try:
        return _KINDS_BACK[number]
    except KeyError:
        raise InvalidArgumentError(
            f"{number} is not a kind of stream", field="streams.kind"
        ) from None


def _mastering(value: MasteringDisplay) -> pb.MasteringDisplay:
    return pb.MasteringDisplay(
        red=_point(value.red),
        green=_point(value.green),
        blue=_point(value.blue),
        white_point=_point(value.white_point),
        min_luminance=value.min_luminance,
        max_luminance=value.max_luminance,
    )


def _to_mastering(message: pb.MasteringDisplay) -> MasteringDisplay:
    return MasteringDisplay(
        red=(message.red.x, message.red.y),
        green=(message.green.x, message.green.y),
        blue=(message.blue.x, message.blue.y),
        white_point=(message.white_point.x, message.white_point.y),
        min_luminance=message.min_luminance,
        max_luminance=message.max_luminance,
    )


def _point(value: tuple[float, float]) -> pb.Chromaticity:
    return pb.Chromaticity(x=value[0], y=value[1])
