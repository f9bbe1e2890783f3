"""The media of a no-op: a source that is said to be there, and the result of encoding it.

The counts agree with one another, so that dispatch's own verification, which
stays switched on, finds them right.
"""

from distconv.core.media import MediaCensus, MediaInfo, StreamCensus, StreamInfo, StreamKind
from distconv.rpc.convert.media import media_census, media_info
from distconv.v1 import engine_service_pb2 as pb

SIZE_BYTES = 20_000_000
SHA256 = "5e" * 32
PROFILE = "profiles/h264-720p"
_SECONDS = 60.0
_FRAMES = 1800
_PACKETS = 2813


def _info() -> MediaInfo:
    return MediaInfo(
        container="mov",
        size_bytes=SIZE_BYTES,
        duration_s=_SECONDS,
        bit_rate=int(SIZE_BYTES * 8 / _SECONDS),
        streams=(
            StreamInfo(
                index=0,
                kind=StreamKind.VIDEO,
                codec="h264",
                start_time_s=0.0,
                duration_s=_SECONDS,
                frame_count=_FRAMES,
                width=1280,
                height=720,
                pixel_format="yuv420p",
                frame_rate="30/1",
            ),
            StreamInfo(
                index=1,
                kind=StreamKind.AUDIO,
                codec="aac",
                start_time_s=0.0,
                duration_s=_SECONDS,
                sample_rate=48_000,
                channels=2,
                channel_layout="stereo",
            ),
        ),
    )


def _census() -> MediaCensus:
    counts = ((StreamKind.VIDEO, "h264", _FRAMES), (StreamKind.AUDIO, "aac", _PACKETS))
    return MediaCensus(
        container="mov",
        read_bytes=SIZE_BYTES,
        complete=True,
        streams=tuple(
            StreamCensus(
                index=index,
                kind=kind,
                codec=codec,
                packet_count=count,
                packet_bytes=SIZE_BYTES // 2,
                first_time_s=0.0,
                end_time_s=_SECONDS,
            )
            for index, (kind, codec, count) in enumerate(counts)
        ),
    )


MEDIA = _info()
_PROBED = pb.AttemptResult(probe=pb.ProbeOutcome(media=media_info(MEDIA)))
_TRANSCODED = pb.AttemptResult(
    transcode=pb.TranscodeOutcome(
        size_bytes=SIZE_BYTES,
        sha256=SHA256,
        source_census=media_census(_census()),
        output_census=media_census(_census()),
        media=media_info(MEDIA),
        frame_count=_FRAMES,
        argv=("ffmpeg", "-nostdin", "-i", "pipe:0", "-c:v", "libx264", "pipe:1"),
    )
)


def result_of(assignment: pb.Assignment) -> pb.AttemptResult:
    """Return what an engine says that has done what it was assigned."""
    probe = assignment.WhichOneof("work") == "probe"
    message = pb.AttemptResult()
    message.CopyFrom(_PROBED if probe else _TRANSCODED)
    message.attempt = assignment.attempt
    message.fencing_token = assignment.fencing_token
    if not probe:
        message.transcode.object = assignment.transcode.sink.object
    return message
