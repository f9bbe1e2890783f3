from pathlib import Path

import pytest

from distconv.media.ffmpeg import FfmpegBuild


@pytest.fixture
def build() -> FfmpegBuild:
    return FfmpegBuild(
        path=Path("/opt/ffmpeg"),
        version="n9.0.2",
        release=(9, 0),
        build_id="0" * 64,
        configuration="",
        encoders=frozenset(
            {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "aac", "libopus"}
            | {"srt", "mov_text", "webvtt"}
        ),
        decoders=frozenset(),
        muxers=frozenset({"mp4", "matroska", "webm"}),
        demuxers=frozenset(),
        options=frozenset(),
    )
