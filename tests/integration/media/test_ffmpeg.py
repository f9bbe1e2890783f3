from pathlib import Path

import pytest

from distconv.core.errors import MissingEncoderError
from distconv.media.benchmark import measurable_codecs, measure_speed
from distconv.media.ffmpeg import (
    SHIPPED_NEEDS,
    FfmpegBuild,
    Needs,
    bundled_ffmpeg,
    locate_ffmpeg,
)
from distconv.media.sandbox import RlimitSandbox


def test_what_was_found_has_what_the_profiles_need(build: FfmpegBuild) -> None:
    assert SHIPPED_NEEDS.missing(build) == ()
    assert {"mov", "matroska", "mpegts"} <= build.demuxers
    assert "h264" in build.decoders
    assert len(build.build_id) == 64


async def test_the_wheels_own_serves_when_there_is_none_on_the_path() -> None:
    found = await locate_ffmpeg(search_path="/nonexistent")
    assert found.path == bundled_ffmpeg()


async def test_one_on_the_path_that_is_not_fit_is_passed_over(tmp_path: Path) -> None:
    poor = tmp_path / "ffmpeg"
    poor.write_text("#!/bin/sh\necho ffmpeg version 2.1 Copyright\n")
    poor.chmod(0o755)
    found = await locate_ffmpeg(search_path=str(tmp_path))
    assert found.path == bundled_ffmpeg()


async def test_one_on_the_path_that_is_fit_is_taken(tmp_path: Path) -> None:
    bundled = bundled_ffmpeg()
    assert bundled is not None
    (tmp_path / "ffmpeg").symlink_to(bundled)
    found = await locate_ffmpeg(search_path=str(tmp_path))
    assert found.build_id == (await locate_ffmpeg(bundled)).build_id


async def test_a_configured_one_that_lacks_something_is_an_error(build: FfmpegBuild) -> None:
    needs = Needs(encoders=frozenset({"libimaginary"}))
    with pytest.raises(MissingEncoderError, match="lacks encoder libimaginary"):
        await locate_ffmpeg(build.path, needs=needs)


async def test_a_configured_one_that_does_not_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingEncoderError, match="no fit ffmpeg"):
        await locate_ffmpeg(tmp_path / "ffmpeg")


async def test_a_benchmark_measures_every_codec_of_the_build(build: FfmpegBuild) -> None:
    assert measurable_codecs(build) == ("h264", "hevc", "av1", "vp9")
    fps = await measure_speed("h264", 144, build=build, sandbox=RlimitSandbox(), budget_s=2.5)
    assert fps > 1
