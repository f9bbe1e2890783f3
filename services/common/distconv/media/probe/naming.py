"""ffmpeg's names for numbers that PyAV gives as they are (in the child).

The numbers are those of libavutil/pixfmt.h and libavcodec/defs.h, which follow
ISO/IEC 23091-2 and are part of ffmpeg's stable interface.
"""

from typing import Any

PRIMARIES = {
    1: "bt709", 4: "bt470m", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "film",
    9: "bt2020", 10: "smpte428", 11: "smpte431", 12: "smpte432", 22: "ebu3213",
}  # fmt: skip
TRANSFERS = {
    1: "bt709", 4: "gamma22", 5: "gamma28", 6: "smpte170m", 7: "smpte240m", 8: "linear",
    9: "log100", 10: "log316", 11: "iec61966-2-4", 12: "bt1361e", 13: "iec61966-2-1",
    14: "bt2020-10", 15: "bt2020-12", 16: "smpte2084", 17: "smpte428", 18: "arib-std-b67",
}  # fmt: skip
SPACES = {
    0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco",
    9: "bt2020nc", 10: "bt2020c", 11: "smpte2085", 12: "chroma-derived-nc",
    13: "chroma-derived-c", 14: "ictcp",
}  # fmt: skip
RANGES = {1: "tv", 2: "pc"}
FIELD_ORDERS = {1: "progressive", 2: "tt", 3: "bb", 4: "tb", 5: "bt"}
_ATTACHMENT_CODECS = {
    "application/x-truetype-font": "ttf", "application/x-font-ttf": "ttf", "font/ttf": "ttf",
    "application/vnd.ms-opentype": "otf", "application/x-font-otf": "otf", "font/otf": "otf",
    "font/sfnt": "ttf", "image/jpeg": "mjpeg", "image/png": "png",
}  # fmt: skip
_KINDS = ("video", "audio", "subtitle", "attachment")


def kind_name(kind: str | None) -> str:
    """Return the StreamKind of PyAV's stream type."""
    return kind if kind in _KINDS else "data"


def codec_name(stream: Any) -> str:
    """Return ffmpeg's name of a stream's codec; empty when it has none that is known."""
    context = stream.codec_context
    if context is not None:
        return str(context.codec.canonical_name)
    if stream.type == "attachment":
        return _ATTACHMENT_CODECS.get(stream.metadata.get("mimetype", ""), "bin_data")
    if kind_name(stream.type) == "data" and "timecode" in stream.metadata:
        return "tmcd"  # libavcodec has no name for it
    return str(getattr(stream, "name", None) or "")
