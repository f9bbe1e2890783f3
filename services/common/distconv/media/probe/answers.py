"""Turn the child's plain values into the core's; the child is not trusted, so types are checked."""

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from distconv.core.errors import CorruptSourceError
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
from distconv.media.finish import Picture

_T = TypeVar("_T")
_TEXTS = (
    "codec", "language", "title", "pixel_format", "frame_rate", "sample_aspect_ratio",
    "field_order", "color_primaries", "color_transfer", "color_space", "color_range",
    "chroma_location", "channel_layout", "file_name", "mime_type",
)  # fmt: skip
_NUMBERS = (
    "bit_rate", "frame_count", "width", "height", "rotation_degrees", "sample_rate", "channels",
)  # fmt: skip


def media_info(
    answer: Mapping[str, Any],
    *,
    size_bytes: int,
    index_last: bool = False,
    warnings: tuple[str, ...] = (),
) -> MediaInfo:
    """Make a MediaInfo of a probe's answer; raise CorruptSourceError when it is none."""
    return _checked(
        lambda: MediaInfo(
            container=str(answer["container"]),
            size_bytes=size_bytes,
            duration_s=_optional_float(answer["duration_s"]),
            bit_rate=int(answer["bit_rate"]),
            streams=tuple(_stream(s) for s in answer["streams"]),
            chapters=tuple(
                Chapter(
                    start_time_s=float(c["start_time_s"]),
                    end_time_s=float(c["end_time_s"]),
                    title=str(c["title"]),
                )
                for c in answer["chapters"]
            ),
            tags={str(k): str(v) for k, v in answer["tags"].items()},
            index_last=index_last,
            warnings=warnings,
        )
    )


def media_census(answer: Mapping[str, Any], *, read_bytes: int) -> MediaCensus:
    """Make a MediaCensus of a census's answer; raise CorruptSourceError when it is none."""
    return _checked(
        lambda: MediaCensus(
            container=str(answer["container"]),
            read_bytes=read_bytes,
            streams=tuple(_stream_census(s) for s in answer["streams"]),
            complete=bool(answer["complete"]),
            problem=str(answer["problem"]),
        )
    )


def cover_pictures(answer: Mapping[str, Any]) -> dict[int, Picture]:
    """Return a census's cover pictures by stream; raise CorruptSourceError when they are none."""
    return _checked(
        lambda: {
            int(p["index"]): Picture(
                codec=str(p["codec"]), data=base64.b64decode(p["data"], validate=True)
            )
            for p in answer["pictures"]
        }
    )


def _checked(make: Callable[[], _T]) -> _T:
    try:
        return make()
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptSourceError("the prober's answer makes no sense") from error


def _stream(raw: Mapping[str, Any]) -> StreamInfo:
    values: dict[str, Any] = {name: str(raw[name]) for name in _TEXTS if name in raw}
    values |= {name: int(raw[name]) for name in _NUMBERS if name in raw}
    order = values.get("field_order", "")
    if raw.get("interlaced") and order in ("", "progressive"):
        values["field_order"] = "tt"
    return StreamInfo(
        index=int(raw["index"]),
        kind=StreamKind(raw["kind"]),
        dispositions=tuple(str(d) for d in raw["dispositions"]),
        attached_picture=bool(raw["attached_picture"]),
        start_time_s=_optional_float(raw["start_time_s"]),
        duration_s=_optional_float(raw["duration_s"]),
        mastering_display=_mastering(raw.get("mastering_display")),
        content_light=_light(raw.get("content_light")),
        **values,
    )


def _stream_census(raw: Mapping[str, Any]) -> StreamCensus:
    return StreamCensus(
        index=int(raw["index"]),
        kind=StreamKind(raw["kind"]),
        codec=str(raw["codec"]),
        packet_count=int(raw["packet_count"]),
        packet_bytes=int(raw["packet_bytes"]),
        hidden_count=int(raw["hidden_count"]),
        first_time_s=_optional_float(raw["first_time_s"]),
        end_time_s=_optional_float(raw["end_time_s"]),
    )


def _mastering(raw: Mapping[str, Any] | None) -> MasteringDisplay | None:
    if raw is None:
        return None
    points = {
        name: (float(raw[name][0]), float(raw[name][1]))
        for name in ("red", "green", "blue", "white_point")
    }
    return MasteringDisplay(
        **cast("dict[str, Any]", points),
        min_luminance=float(raw["min_luminance"]),
        max_luminance=float(raw["max_luminance"]),
    )


def _light(raw: Mapping[str, Any] | None) -> ContentLight | None:
    if raw is None:
        return None
    return ContentLight(
        max_content=int(raw["max_content"]), max_frame_average=int(raw["max_frame_average"])
    )


def _optional_float(value: object) -> float | None:
    return None if value is None else float(cast("float", value))
