"""What the media plan says of a profile and a source, without any ffmpeg at hand. Pure."""

from pathlib import Path

from distconv.core.attempt import Transcoded
from distconv.core.errors import CorruptSourceError, VerificationError
from distconv.core.media import MediaInfo
from distconv.core.memo import ByIdentity
from distconv.core.profile import Profile
from distconv.core.verify import ExpectedStream, require_output, require_source
from distconv.dispatch.store.records import JobRecord
from distconv.media.ffmpeg import FfmpegBuild
from distconv.media.plan import plan_transcode

# An ffmpeg that has all that a plan may ask for: which streams an output gets does not depend on
# the build, and what a certain engine lacks is the scheduler's to mind.
_ANY_BUILD = FfmpegBuild(
    path=Path("ffmpeg"),
    version="any",
    release=(0, 0),
    build_id="",
    configuration="",
    encoders=frozenset(
        {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "aac", "libopus"}
        | {"mov_text", "webvtt", "srt", "subrip", "ass", "ssa", "mjpeg", "png"}
    ),
    decoders=frozenset(),
    muxers=frozenset({"mp4", "matroska", "webm", "nut"}),
    demuxers=frozenset(),
    options=frozenset(),
)


def require_feasible(profile: Profile, info: MediaInfo) -> None:
    """Return when a source can be made into a profile. Raises ImpossibleProfileError."""
    expected_streams(profile, info)


def expected_streams(profile: Profile, info: MediaInfo) -> tuple[ExpectedStream, ...]:
    """Return the streams that an output has to hold. Raises ImpossibleProfileError."""
    return _expected(profile, info)


# A job's profile and source are asked about when it is planned and again for every result.
_expected = ByIdentity(
    lambda profile, info: plan_transcode(profile, info, _ANY_BUILD).expected, size=1024
)


def check_counts(job: JobRecord, result: Transcoded) -> None:
    """Compare a result's counts with the source and the profile anew. Raises VerificationError."""
    if job.source_media is None:
        raise VerificationError(f"the source of job {job.id} was never probed")
    # An MP4 may be fed with its index rewritten, a few bytes longer or shorter than it is.
    relaid = job.source_media.container == "mov"
    fed_bytes = result.source_census.read_bytes if relaid else job.source_size_bytes
    try:
        require_source(job.source_media, result.source_census, expected_bytes=fed_bytes)
    except CorruptSourceError as error:
        raise VerificationError(f"the source was not read whole: {error.message}") from error
    require_output(
        result.source_census,
        result.output_census,
        expected_streams(job.profile, job.source_media),
    )
