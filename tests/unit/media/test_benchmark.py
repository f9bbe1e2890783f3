"""The generated clip and its measurement."""

from pathlib import Path

import pytest

from distconv.core.errors import MissingEncoderError
from distconv.media.benchmark import SpeedMeter, benchmark_argv, measurable_codecs
from distconv.media.ffmpeg import FfmpegBuild

BUILD = FfmpegBuild(
    path=Path("/usr/bin/ffmpeg"),
    version="7.1",
    release=(7, 1),
    build_id="b",
    configuration="",
    encoders=frozenset({"libx264", "libsvtav1"}),
    decoders=frozenset(),
    muxers=frozenset(),
    demuxers=frozenset(),
    options=frozenset(),
)


def test_the_command_encodes_a_generated_clip_as_a_task_would():
    assert benchmark_argv("h264", 720, BUILD, 9) == (
        *("/usr/bin/ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-nostats"),
        *("-progress", "pipe:9", "-stats_period", "0.1"),
        *("-protocol_whitelist", "pipe", "-format_whitelist", "lavfi"),
        *("-f", "lavfi", "-i"),
        "testsrc2=size=1280x720:rate=30:duration=0.4,format=yuv420p,loop=loop=-1:size=12",
        *("-map", "0:0", "-c:0", "libx264", "-crf:0", "22", "-preset:0", "fast"),
        *("-threads:0", "6", "-x264-params:0", "cpu-independent=1", "-g:0", "150"),
        *("-fps_mode:0", "passthrough", "-enc_time_base:0", "demux"),
        *("-f", "null", "-"),
    )


@pytest.mark.parametrize("height", [480, 720, 1080, 2160])
def test_the_clip_has_even_sides(height):
    source = next(a for a in benchmark_argv("av1", height, BUILD, 9) if a.startswith("testsrc2"))
    width = int(source.removeprefix("testsrc2=size=").split("x")[0])
    assert width % 2 == 0
    assert width / height == pytest.approx(16 / 9, rel=0.01)


def test_a_codec_without_encoder_is_refused():
    assert measurable_codecs(BUILD) == ("h264", "av1")
    with pytest.raises(MissingEncoderError, match="hevc"):
        benchmark_argv("hevc", 480, BUILD, 9)


def test_the_encoders_start_does_not_count():
    meter = SpeedMeter()
    for now_s, frames in ((10.0, 0), (12.0, 30), (12.5, 60), (13.0, 90)):
        meter.note(now_s, frames)
    assert meter.fps() == 60


@pytest.mark.parametrize("reports", [[], [(1.0, 0)], [(1.0, 5)], [(1.0, 5), (1.2, 50)]])
def test_too_little_to_tell_is_zero(reports):
    meter = SpeedMeter()
    for now_s, frames in reports:
        meter.note(now_s, frames)
    assert meter.fps() == 0.0
