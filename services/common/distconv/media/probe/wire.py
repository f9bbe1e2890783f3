"""The frames between the prober and its child, over the child's stdin and stdout.

A frame is a kind (one byte), a length (32 bits, big-endian) and so many bytes.
The standard library alone: the child imports this.
"""

import struct
from typing import Final

HEADER: Final = struct.Struct(">BI")
RANGE: Final = struct.Struct(">QI")  # offset and length, in a READ frame
MAX_FRAME_BYTES: Final = 16 << 20

# to the child
PROBE: Final = 1  # JSON: size_bytes, formats
CENSUS_STREAM: Final = 2  # JSON: format, formats; then, unframed, the stream up to its end
CENSUS_FILE: Final = 3  # JSON: path, format (null: any of formats), formats
DATA: Final = 4  # the answer to READ
# from the child
READY: Final = 16  # it has imported what it needs
READ: Final = 17  # RANGE
RESULT: Final = 18  # JSON
FAILURE: Final = 19  # JSON: kind, message

# The demuxers that untrusted media may reach: files that hold their media
# themselves. None that opens other files or addresses (hls, dash, concat,
# image2, sdp, rtsp, tee, …), none for device or text formats.
SAFE_FORMATS: Final = (
    "mov", "matroska", "mpegts", "mpeg", "avi", "flv", "asf", "ogg", "mxf", "nut", "ivf", "obu",
    "wav", "w64", "aiff", "caf", "mp3", "aac", "flac", "ac3", "eac3", "dts", "truehd", "h264",
    "hevc", "mpegvideo", "m4v", "gxf", "dv", "yuv4mpegpipe", "rm", "vc1",
)  # fmt: skip


def frame(kind: int, payload: bytes) -> bytes:
    """Make a frame."""
    return HEADER.pack(kind, len(payload)) + payload
