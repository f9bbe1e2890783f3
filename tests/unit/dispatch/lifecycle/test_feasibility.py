from distconv.core.media import MediaInfo, StreamInfo, StreamKind
from distconv.core.profiles import load_catalogue, with_container
from distconv.dispatch.lifecycle.feasibility import expected_streams, require_feasible

VIDEO = StreamInfo(
    index=0, kind=StreamKind.VIDEO, codec="h264", width=320, height=240, pixel_format="yuv420p"
)
SOUND = StreamInfo(
    index=1, kind=StreamKind.AUDIO, codec="aac", sample_rate=48_000, channels=2
)  # fmt: skip


def broadcast() -> MediaInfo:
    return MediaInfo(
        container="mpegts", size_bytes=1, duration_s=1.0, bit_rate=0, streams=(VIDEO, SOUND)
    )


def test_every_profile_is_planned_without_an_ffmpeg_at_hand() -> None:
    for profile in load_catalogue():
        require_feasible(profile, broadcast())


def test_a_broadcast_is_copied_into_matroska_by_way_of_a_third_container() -> None:
    profile = with_container(load_catalogue().get("copy"), "mkv")
    assert [e.copied for e in expected_streams(profile, broadcast())] == [True, True]
