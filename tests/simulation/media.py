"""One source and one output, enough to be judged by dispatch."""

from dataclasses import replace

from distconv.core.attempt import Probed, Transcoded
from distconv.core.engine import EngineCapabilities, TranscoderInfo
from distconv.core.media import MediaCensus, MediaInfo, StreamCensus, StreamInfo, StreamKind

SOURCE_BYTES = 1000
OUTPUT_BYTES = 500

CAPABILITIES = EngineCapabilities(
    transcoders=(
        TranscoderInfo(
            name="ffmpeg",
            version="9",
            build_id="simulated",
            encoders=("aac", "libopus", "libsvtav1", "libvpx-vp9", "libx264", "libx265"),
            muxers=("matroska", "mp4", "webm"),
        ),
    ),
    cpu_count=4,
    memory_bytes=1 << 33,
)

MEDIA = MediaInfo(
    container="matroska",
    size_bytes=SOURCE_BYTES,
    duration_s=2.0,
    bit_rate=4000,
    streams=(
        StreamInfo(
            index=0,
            kind=StreamKind.VIDEO,
            codec="h264",
            frame_count=50,
            width=640,
            height=360,
            pixel_format="yuv420p",
            frame_rate="25/1",
            sample_aspect_ratio="1:1",
            field_order="progressive",
        ),
    ),
)

_CENSUS = MediaCensus(
    container="matroska",
    read_bytes=SOURCE_BYTES,
    complete=True,
    streams=(
        StreamCensus(
            index=0,
            kind=StreamKind.VIDEO,
            codec="h264",
            packet_count=50,
            packet_bytes=900,
            first_time_s=0.0,
            end_time_s=2.0,
        ),
    ),
)

PROBED = Probed(media=MEDIA)


def transcoded(object_id: str, sha256: str, *, size_bytes: int = OUTPUT_BYTES) -> Transcoded:
    """Return the result of a transcode."""
    return Transcoded(
        object_id=object_id,
        size_bytes=size_bytes,
        sha256=sha256,
        source_census=_CENSUS,
        output_census=replace(_CENSUS, read_bytes=size_bytes),
        media=replace(MEDIA, size_bytes=size_bytes),
        frame_count=50,
    )
