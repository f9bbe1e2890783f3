"""Describe a container as plain values (in the child); `answers` makes a MediaInfo of them."""

import struct
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition

from distconv.media.probe import naming

# To see a first frame of each video stream; far beyond what a sane file needs.
_MAX_PACKETS = 2000
_MAX_BYTES = 64 << 20
_MAX_TEXT = 4096
_MAX_STREAMS = 256
_MAX_CHAPTERS = 10_000


def describe(container: InputContainer) -> dict[str, Any]:
    """Return a MediaInfo's fields as plain values."""
    streams = list(container.streams)[:_MAX_STREAMS]
    described = [_stream(stream) for stream in streams]
    for index, found in _first_frames(container, streams).items():
        described[index].update(found)
    return {
        "container": container.format.name.split(",")[0],
        "duration_s": None if container.duration is None else container.duration / av.time_base,
        "bit_rate": max(0, container.bit_rate or 0),
        "tags": _tags(container.metadata),
        "streams": described,
        "chapters": [_chapter(c) for c in container.chapters()[:_MAX_CHAPTERS]],
    }


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {key[:_MAX_TEXT]: value[:_MAX_TEXT] for key, value in list(metadata.items())[:500]}


def _chapter(chapter: Any) -> dict[str, Any]:
    base = chapter["time_base"] or Fraction(0)
    return {
        "start_time_s": float(chapter["start"] * base),
        "end_time_s": float(chapter["end"] * base),
        "title": chapter["metadata"].get("title", "")[:_MAX_TEXT],
    }


def _stream(stream: Any) -> dict[str, Any]:
    tags = {key.lower(): value[:_MAX_TEXT] for key, value in stream.metadata.items()}
    dispositions = [flag.name for flag in Disposition if flag in stream.disposition]
    base = stream.time_base
    attached = "attached_pic" in dispositions
    language = tags.get("language", "")
    common = {
        "index": stream.index,
        "kind": naming.kind_name(stream.type),
        "codec": naming.codec_name(stream),
        "language": "" if language == "und" else language,
        "title": tags.get("title", "") or tags.get("name", ""),  # MP4's 'name' box
        "dispositions": [d for d in dispositions if d != "attached_pic"],
        "attached_picture": attached,
        "start_time_s": _seconds(stream.start_time, base),
        "duration_s": _clock(tags.get("duration", "")) or _seconds(stream.duration, base),
        "frame_count": max(0, stream.frames or 0),
        "file_name": tags.get("filename", ""),
        "mime_type": tags.get("mimetype", ""),
    }
    if stream.codec_context is None:
        return common
    common["bit_rate"] = max(0, getattr(stream.codec_context, "bit_rate", 0) or 0)
    if stream.type == "video":
        return {**common, **_video(stream)}
    return {**common, **_audio(stream)} if stream.type == "audio" else common


def _video(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    aspect = stream.sample_aspect_ratio
    return {
        "width": context.width,
        "height": context.height,
        "pixel_format": _pixel_format(stream),
        "frame_rate": _fraction(stream.average_rate or stream.guessed_rate, "/"),
        "sample_aspect_ratio": _fraction(aspect, ":"),
        "field_order": naming.FIELD_ORDERS.get(context.field_order, ""),
        "color_primaries": naming.PRIMARIES.get(context.color_primaries, ""),
        "color_transfer": naming.TRANSFERS.get(context.color_trc, ""),
        "color_space": naming.SPACES.get(context.colorspace, ""),
        "color_range": naming.RANGES.get(context.color_range, ""),
    }


def _pixel_format(stream: Any) -> str:
    """Return the format of the pictures; VP8's and VP9's transparency is a stream beside them."""
    name = str(stream.codec_context.pix_fmt or "")
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    return name.replace("yuv4", "yuva4", 1) if tags.get("alpha_mode") == "1" else name


def _audio(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "sample_rate": context.sample_rate,
        "channels": context.channels,
        "channel_layout": context.layout.name,
    }


def _first_frames(container: InputContainer, streams: list[Any]) -> dict[int, dict[str, Any]]:
    """Decode one frame of each video stream.

    It carries rotation and HDR10 metadata, wherever the file keeps them.
    """
    waiting = {
        s.index: s
        for s in streams
        if s.type == "video" and s.codec_context and Disposition.attached_pic not in s.disposition
    }
    found: dict[int, dict[str, Any]] = {}
    size = 0
    for stream in waiting.values():
        stream.codec_context.thread_count = 1  # threads would hold frames back
    try:
        for number, packet in enumerate(container.demux(list(waiting.values()))):
            size += packet.size
            frames = _decode(packet) if packet.stream_index in waiting else []
            if frames:
                found[packet.stream_index] = _frame(frames[0])
                del waiting[packet.stream_index]
            if not waiting or number > _MAX_PACKETS or size > _MAX_BYTES:
                break
    except FFmpegError:
        pass  # what cannot be demuxed is for the census to report
    return found


def _decode(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except FFmpegError:
        return []


def _frame(frame: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"rotation_degrees": -frame.rotation % 360}
    for side in frame.side_data:
        if side.type is SideDataType.MASTERING_DISPLAY_METADATA:
            found["mastering_display"] = _mastering(bytes(side))
        elif side.type is SideDataType.CONTENT_LIGHT_LEVEL:
            content, average = struct.unpack_from("=II", bytes(side))
            if content or average:
                found["content_light"] = {"max_content": content, "max_frame_average": average}
    if frame.interlaced_frame:
        found["interlaced"] = True
    return found


def _mastering(data: bytes) -> dict[str, Any] | None:
    """Read AVMasteringDisplayMetadata: ten rationals, then two flags (libavutil)."""
    numbers = struct.unpack_from("=22i", data)
    if not (numbers[20] and numbers[21]) or not all(numbers[1:20:2]):
        return None
    value = [numbers[k] / numbers[k + 1] for k in range(0, 20, 2)]
    return {
        "red": value[0:2],
        "green": value[2:4],
        "blue": value[4:6],
        "white_point": value[6:8],
        "min_luminance": value[8],
        "max_luminance": value[9],
    }


def _fraction(value: Fraction | None, between: str) -> str:
    return f"{value.numerator}{between}{value.denominator}" if value else ""


def _seconds(ticks: int | None, base: Fraction | None) -> float | None:
    return None if ticks is None or not base else float(ticks * base)


def _clock(text: str) -> float | None:
    """Read Matroska's DURATION tag, "00:01:02.500000000"."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None
