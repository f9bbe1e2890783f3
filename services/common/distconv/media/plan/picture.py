"""The geometry of a rendition: fitting a box without enlarging, even sides, threads by size."""

import re
from dataclasses import dataclass

from distconv.core.media import StreamInfo
from distconv.core.profile import VideoSettings

# What the pixel format names of ffmpeg say of more than eight bits:
# yuv420p10le, p010le, gray12be, rgb48le, x2rgb10le, …
_DEEP = re.compile(r"(?:10|12|14|16|48|64)(?:le|be)$", re.ASCII)


@dataclass(frozen=True, slots=True)
class Size:
    """A picture's size in pixels."""

    width: int
    height: int


def upright(stream: StreamInfo) -> Size:
    """Return the size of the picture as it is seen, once turned."""
    if stream.rotation_degrees in (90, 270):
        return Size(stream.height, stream.width)
    return Size(stream.width, stream.height)


def fit(size: Size, settings: VideoSettings) -> Size:
    """Return the size within the profile's box, turned for a portrait picture.

    Never larger than `size`; both sides even, as 4:2:0 needs.
    """
    box_w, box_h = settings.max_width, settings.max_height
    if size.height > size.width:
        box_w, box_h = box_h, box_w
    # Whole-number arithmetic: the factor is limit / side, at most 1.
    limit, side = 1, 1
    for bound, actual in ((box_w, size.width), (box_h, size.height)):
        if bound and bound * side < limit * actual:
            limit, side = bound, actual
    return Size(_even(size.width, limit, side), _even(size.height, limit, side))


def _even(length: int, numerator: int, denominator: int) -> int:
    """Scale a length and round it to the nearest even number, never above the length."""
    nearest = (length * numerator + denominator) // (2 * denominator) * 2
    return max(2, min(nearest, length // 2 * 2))


def threads_for(size: Size) -> int:
    """Return how many threads encode a picture of this size, on whatever machine.

    Fixed by the picture alone, since the number changes the bytes. x264 and
    libvpx gain little beyond one thread for 90..180 lines.
    """
    pixels = size.width * size.height
    return next((n for bound, n in _THREADS if pixels <= bound), 16)


_THREADS = ((854 * 480, 4), (1280 * 720, 6), (1920 * 1080, 8))


def is_deep(pixel_format: str) -> bool:
    """Say whether a pixel format has more than eight bits."""
    return _DEEP.search(pixel_format) is not None


def frame_rate(stream: StreamInfo) -> float:
    """Return the average frame rate; 0 when unknown."""
    numerator, _, denominator = stream.frame_rate.partition("/")
    try:
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        return 0.0
