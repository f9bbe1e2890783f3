"""How to make the video of a rendition."""

from collections.abc import Callable

from distconv.core.errors import ImpossibleProfileError
from distconv.core.media import StreamInfo
from distconv.core.profile import Container, VideoCodec, VideoSettings
from distconv.core.report import Note, NoteSeverity
from distconv.media.plan import hdr
from distconv.media.plan.picture import (
    Size,
    fit,
    frame_rate,
    is_deep,
    threads_for,
    upright,
)
from distconv.media.plan.values import Choice, StreamMode, copied

ENCODERS = {
    VideoCodec.H264: "libx264",
    VideoCodec.HEVC: "libx265",
    VideoCodec.AV1: "libsvtav1",
    VideoCodec.VP9: "libvpx-vp9",
}
# What may be copied into a container that is choosy; Matroska takes all.
_COPYABLE = {
    Container.MP4: frozenset(
        {"h264", "hevc", "av1", "vp9", "vvc", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg"}
    ),
    Container.WEBM: frozenset({"vp8", "vp9", "av1"}),
}
# bitexact and accurate_rnd: swscale's fast paths differ from processor to
# processor, and the same task has to give the same bytes on any engine.
_SCALER = "flags=lanczos+accurate_rnd+bitexact"
# SVT-AV1's "level of parallelism" (1..6) in place of a number of threads.
_SVT_LEVELS = {4: 3, 6: 4, 8: 5, 16: 6}

Options = tuple[tuple[str, str], ...]


def choose_video(stream: StreamInfo, settings: VideoSettings, container: Container) -> Choice:
    """Decide what becomes of one video stream that is not a cover picture."""
    if settings.codec is VideoCodec.COPY:
        return _copy(stream, container)
    if not stream.width or not stream.height:
        raise ImpossibleProfileError(
            f"stream {stream.index} ({stream.codec or 'unknown'}) has no size: it cannot be decoded"
        )
    size = fit(upright(stream), settings)
    deep = is_deep(stream.pixel_format) if settings.ten_bit is None else settings.ten_bit
    encoder = ENCODERS[settings.codec]
    filters = _filters(stream, size, deep=deep)
    options: Options = (
        ("c", encoder),
        *_ENCODER_OPTIONS[settings.codec](stream, settings, size),
        *((("g", str(gop)),) if (gop := _gop_frames(stream, settings)) else ()),
        # the source's own clock and frames: a variable frame rate stays variable
        ("fps_mode", "passthrough"),
        ("enc_time_base", "demux"),
        *((("filter", ",".join(filters)),) if filters else ()),
        *_tag(settings.codec.value, container),
    )
    return Choice(
        source=stream,
        mode=StreamMode.ENCODE,
        codec=settings.codec.value,
        encoder=encoder,
        options=options,
        notes=tuple(_notes(stream, size, deep=deep)),
    )


def _copy(stream: StreamInfo, container: Container) -> Choice:
    allowed = _COPYABLE.get(container)
    if allowed is not None and stream.codec not in allowed:
        raise ImpossibleProfileError(
            f"{container} cannot hold {stream.codec} video (stream {stream.index}) as it is; "
            "ask for mkv, or for a profile that encodes"
        )
    return copied(stream, *_tag(stream.codec, container))


def _tag(codec: str, container: Container) -> Options:
    # Apple's players open HEVC in MP4 under this name only.
    return (("tag", "hvc1"),) if codec == "hevc" and container is Container.MP4 else ()


def _gop_frames(stream: StreamInfo, settings: VideoSettings) -> int:
    return round(settings.gop_s * frame_rate(stream))


def _filters(stream: StreamInfo, size: Size, *, deep: bool) -> list[str]:
    filters = []
    if interlaced(stream):
        filters.append("bwdif=mode=send_frame:parity=auto:deint=interlaced")
    fits = {"yuv420p10le"} if deep else {"yuv420p", "yuvj420p"}
    if size != upright(stream):
        filters.append(f"scale=w={size.width}:h={size.height}:{_SCALER}")
        # the scaler would adjust the aspect for the rounding of the sides
        filters.append(f"setsar=sar={(stream.sample_aspect_ratio or '1:1').replace(':', '/')}")
    elif stream.pixel_format not in fits:
        filters.append(f"scale={_SCALER}")
    if stream.pixel_format not in fits:
        filters.append(f"format=pix_fmts={'yuv420p10le' if deep else 'yuv420p'}")
    return filters


def interlaced(stream: StreamInfo) -> bool:
    """Say whether a stream is interlaced, all or in parts."""
    return stream.field_order in ("tt", "bb", "tb", "bt")


def _x264(stream: StreamInfo, settings: VideoSettings, size: Size) -> Options:
    # cpu-independent: the same decisions whatever instructions the processor has
    params = ["cpu-independent=1"]
    if stream.mastering_display:
        params.append(f"mastering-display={hdr.x26x_mastering(stream.mastering_display)}")
    if stream.content_light:
        params.append(f"cll={hdr.light(stream.content_light)}")
    return (
        ("crf", f"{settings.crf:g}"),
        ("preset", settings.preset or "medium"),
        *((("tune", settings.tune),) if settings.tune else ()),
        ("threads", str(settings.threads or threads_for(size))),
        ("x264-params", ":".join(params)),
    )


def _x265(stream: StreamInfo, settings: VideoSettings, size: Size) -> Options:
    threads = settings.threads or threads_for(size)
    # frame-threads changes the bytes, and both would follow the machine
    params = ["log-level=warning", f"pools={threads}", f"frame-threads={min(4, threads)}"]
    if stream.mastering_display:
        params += ["hdr10=1", f"master-display={hdr.x26x_mastering(stream.mastering_display)}"]
    if stream.content_light:
        params.append(f"max-cll={hdr.light(stream.content_light)}")
    return (
        ("crf", f"{settings.crf:g}"),
        ("preset", settings.preset or "medium"),
        *((("tune", settings.tune),) if settings.tune else ()),
        ("x265-params", ":".join(params)),
    )


_SVT_TUNES = {"vq": "0", "psnr": "1", "ssim": "2"}


def _svt(stream: StreamInfo, settings: VideoSettings, size: Size) -> Options:
    threads = settings.threads or threads_for(size)
    level = next((lp for n, lp in _SVT_LEVELS.items() if threads <= n), 6)
    params = [f"lp={level}"]
    if settings.tune:
        params.append(f"tune={_SVT_TUNES[settings.tune]}")
    if stream.mastering_display:
        params.append(f"mastering-display={hdr.svt_mastering(stream.mastering_display)}")
    if stream.content_light:
        params.append(f"content-light={hdr.light(stream.content_light)}")
    return (
        ("crf", f"{settings.crf:g}"),
        ("preset", settings.preset or "8"),
        ("svtav1-params", ":".join(params)),
    )


def _vp9(_: StreamInfo, settings: VideoSettings, size: Size) -> Options:
    # A tile is at least 256 pixels wide: 2^columns tiles (Google's VOD settings).
    columns = min(4, max(0, (size.width // 256).bit_length() - 1))
    return (
        ("crf", f"{settings.crf:g}"),
        ("b", "0"),  # pure quality: without it libvpx bounds the rate
        ("deadline", "good"),
        ("cpu-used", settings.preset or "4"),
        ("row-mt", "1"),
        ("tile-columns", str(columns)),
        ("threads", str(settings.threads or threads_for(size))),
    )


_ENCODER_OPTIONS: dict[VideoCodec, Callable[[StreamInfo, VideoSettings, Size], Options]] = {
    VideoCodec.H264: _x264,
    VideoCodec.HEVC: _x265,
    VideoCodec.AV1: _svt,
    VideoCodec.VP9: _vp9,
}


def _notes(stream: StreamInfo, size: Size, *, deep: bool) -> list[Note]:
    def note(severity: NoteSeverity, message: str) -> Note:
        return Note(severity=severity, stream_index=stream.index, message=message)

    notes = []
    seen = upright(stream)
    if size != seen:
        text = f"scaled from {seen.width}×{seen.height} to {size.width}×{size.height}"
        notes.append(note(NoteSeverity.INFO, text))
    if stream.rotation_degrees:
        notes.append(note(NoteSeverity.INFO, f"turned upright by {stream.rotation_degrees}°"))
    if interlaced(stream):
        notes.append(note(NoteSeverity.INFO, "deinterlaced, frame for frame"))
    if is_deep(stream.pixel_format) and not deep:
        text = "more than 8 bits per sample reduced to 8, as the profile says"
        if hdr.is_hdr(stream):
            text += ": the picture stays HDR without tone mapping, and may show bands"
        notes.append(note(NoteSeverity.WARNING, text))
    if any(mark in stream.pixel_format for mark in ("422", "444", "rgb", "gbr", "bgr")):
        notes.append(note(NoteSeverity.INFO, f"{stream.pixel_format} converted to 4:2:0"))
    if stream.pixel_format.startswith(("yuva", "rgba", "bgra", "argb", "gbrap", "ya8")):
        notes.append(note(NoteSeverity.LOST, "transparency is not kept"))
    return notes
