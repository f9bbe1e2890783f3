"""Work is measured from the probe; speeds from what engines did, the nearest first."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from distconv.core.media import MediaInfo, StreamInfo, StreamKind
from distconv.core.profile import VideoCodec, VideoSettings
from distconv.core.profiles import load_catalogue
from distconv.core.speeds import (
    HEIGHT_CLASSES,
    Basis,
    Sample,
    estimate,
    height_class,
    observed,
    of_benchmark,
    smoothed,
)
from distconv.core.work import job_size, memory_bytes, probe_work, transcode_work

PROFILES = load_catalogue()


def media(
    width: int = 1920, height: int = 1080, *, frames: int = 0, seconds: float | None = 10.0
) -> MediaInfo:
    video = StreamInfo(
        index=0,
        kind=StreamKind.VIDEO,
        codec="h264",
        width=width,
        height=height,
        frame_count=frames,
        frame_rate="25/1",
    )
    sound = StreamInfo(index=1, kind=StreamKind.AUDIO, codec="aac", channels=2)
    return MediaInfo(
        container="matroska",
        size_bytes=10_000_000,
        duration_s=seconds,
        bit_rate=0,
        streams=(video, sound),
    )


def test_size_is_counted_or_told_by_the_clock_or_guessed_from_bytes() -> None:
    assert job_size(5, None).pixel_count == 0
    assert job_size(5, media(frames=100)).pixel_count == 1920 * 1080 * 100
    assert job_size(5, media()).pixel_count == 1920 * 1080 * 250
    assert job_size(5, media()).duration == timedelta(seconds=10)
    assert job_size(1000, media(seconds=None)).pixel_count == 80_000
    sound = replace(media(), streams=media().streams[1:])
    assert job_size(1000, sound).pixel_count == 0


def test_cost_follows_pixels_codec_and_preset() -> None:
    def cost(profile: str, source: MediaInfo) -> float:
        return transcode_work(PROFILES.get(profile), 10_000_000, source).cost

    assert cost("h264", media(seconds=20.0)) > 1.7 * cost("h264", media())
    assert cost("h264-480p", media()) < cost("h264", media())
    assert cost("hevc", media()) > cost("h264", media()) > cost("av1", media())
    h264 = PROFILES.get("h264")
    assert h264.video is not None
    slow = replace(h264, video=replace(h264.video, preset="veryslow"))
    assert transcode_work(slow, 1, media()).cost > 2 * transcode_work(h264, 1, media()).cost


def test_height_is_that_of_what_is_made_across_the_shorter_side() -> None:
    small = PROFILES.get("h264-720p")
    assert transcode_work(small, 1, media()).height == 720
    assert transcode_work(small, 1, media(1080, 1920)).height == 720
    assert transcode_work(small, 1, media(640, 360)).height == 360
    copied = replace(small, video=VideoSettings(codec=VideoCodec.COPY, max_height=720))
    assert transcode_work(copied, 1, media()).height == 1080


@given(
    st.sampled_from(PROFILES.names),
    st.integers(0, 1 << 40),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
    st.one_of(st.none(), st.floats(-1.0, 1e9, allow_nan=False)),
)
def test_every_task_costs_something(
    name: str, size: int, width: int, height: int, seconds: float | None
) -> None:
    found = transcode_work(PROFILES.get(name), size, media(width, height, seconds=seconds))
    assert found.cost >= 1.0
    assert 1.0 <= probe_work(size).cost <= 10.0
    assert transcode_work(PROFILES.get(name), size, None).cost >= 1.0


def test_memory_grows_with_the_picture() -> None:
    assert memory_bytes(None, 1080) < memory_bytes(VideoCodec.H264, 1080)
    assert memory_bytes(VideoCodec.AV1, 2160) > 3 * memory_bytes(VideoCodec.AV1, 1080) / 2


def sample(codec: VideoCodec, height: int, rate: float, basis: Basis = Basis.HISTORY) -> Sample:
    return Sample(codec=codec, height_class=height, units_per_s=rate, basis=basis)


def test_the_nearest_sample_is_taken() -> None:
    def found(*samples: Sample) -> tuple[float, Basis]:
        speed = estimate(samples, codec=VideoCodec.HEVC, height=1080, cpu_count=8, slot_count=2)
        return speed.units_per_s, speed.basis

    bench = sample(VideoCodec.HEVC, 1080, 10, Basis.BENCHMARK)
    assert found(bench) == (10, Basis.BENCHMARK)
    assert found(bench, sample(VideoCodec.HEVC, 1080, 12)) == (12, Basis.HISTORY)
    assert found(sample(VideoCodec.HEVC, 720, 9), bench) == (10, Basis.BENCHMARK)
    assert found(sample(VideoCodec.H264, 1080, 9), sample(VideoCodec.HEVC, 480, 8)) == (
        8,
        Basis.CARRIED,
    )
    assert found(sample(VideoCodec.H264, 1080, 9)) == (9, Basis.CARRIED)
    assert found() == (28 * 4, Basis.ASSUMED)


@given(st.integers(-5, 20_000))
def test_classes_are_the_nearest_by_ratio(height: int) -> None:
    found = height_class(height)
    assert found in HEIGHT_CLASSES
    assert height_class(found) == found


@given(st.lists(st.floats(0.1, 1e5), min_size=1, max_size=50))
def test_the_average_stays_among_its_samples(rates: list[float]) -> None:
    average = 0.0
    for count, rate in enumerate(rates):
        average = smoothed(average, count, rate)
    assert min(rates) * (1 - 1e-9) <= average <= max(rates) * (1 + 1e-9)


def test_the_average_forgets() -> None:
    average = 100.0
    for count in range(1, 30):
        average = smoothed(average, count, 10.0)
    assert average < 11


def test_what_is_too_short_shows_nothing() -> None:
    assert observed(100, timedelta(milliseconds=999)) is None
    assert observed(0, timedelta(seconds=5)) is None
    assert observed(100, timedelta(seconds=5)) == 20


def test_benchmarks_and_work_speak_the_same_units() -> None:
    cost = transcode_work(PROFILES.get("h264"), 0, media(frames=250)).cost
    rate = of_benchmark(VideoCodec.H264, 1080, fps=25)
    assert 9 < cost / rate < 12.5  # ten seconds of it, and some decoding and sound
