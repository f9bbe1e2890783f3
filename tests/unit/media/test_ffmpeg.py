import dataclasses
import json
from pathlib import Path

from distconv.media.ffmpeg import FfmpegBuild, Needs, parse_build, parse_table

ENCODERS = """Encoders:
 V..... = Video
 .....D = Supports direct rendering method 1
 ------
 V....D libx264              libx264 H.264 / AVC (codec h264)
 A....D aac                  AAC (Advanced Audio Coding)
 S..... srt                  SubRip subtitle (codec subrip)
"""
DEMUXERS = """Demuxers:
 D.. = Demuxing supported
 ..d = Is a device
 ---
 D   mov,mp4,m4a,3gp,3g2,mj2 QuickTime / MOV
 D d alsa            ALSA audio input
 D   matroska,webm   Matroska / WebM
"""
VERSION = """ffmpeg version 6.1.1-3ubuntu5 Copyright (c) 2000-2023 the FFmpeg developers
built with gcc 13
configuration: --enable-gpl --enable-libx264
libavutil      58. 29.100 / 58. 29.100
"""
OPTIONS = """Usage: ffmpeg
-fps_mode[:<stream_spec>]  set framerate mode for matching video streams
-progress <url>     write program-readable progress information
  -brand             <string>     not a global option
"""


def told(version: str = VERSION) -> dict[str, str]:
    return {
        "version": version,
        "encoders": ENCODERS,
        "decoders": ENCODERS,
        "muxers": DEMUXERS,
        "demuxers": DEMUXERS,
        "options": OPTIONS,
    }


def test_tables_are_read_by_name() -> None:
    assert parse_table(ENCODERS) == {"libx264", "aac", "srt"}
    assert {"mov", "mp4", "alsa", "matroska", "webm"} <= parse_table(DEMUXERS)


def test_a_build_is_read() -> None:
    build = parse_build(Path("/usr/bin/ffmpeg"), told())
    assert (build.version, build.release) == ("6.1.1-3ubuntu5", (6, 1))
    assert build.configuration == "--enable-gpl --enable-libx264"
    assert build.options == {"fps_mode", "progress"}


def test_another_build_has_another_id() -> None:
    first = parse_build(Path("/a"), told())
    assert first.build_id == parse_build(Path("/b"), told()).build_id
    assert first.build_id != parse_build(Path("/a"), told(VERSION + "x")).build_id


def test_a_build_from_between_releases_has_no_release() -> None:
    build = parse_build(Path("/a"), told("ffmpeg version N-112345-gabcdef Copyright\n"))
    assert (build.version, build.release) == ("N-112345-gabcdef", (0, 0))


def test_what_is_missing_is_said(build: FfmpegBuild) -> None:
    needs = Needs(encoders=frozenset({"aac", "libfoo"}), options=frozenset({"bar"}))
    assert needs.missing(build) == ("encoder libfoo", "option bar")


def test_plain_there_and_back(build: FfmpegBuild) -> None:
    again = FfmpegBuild.from_plain(json.loads(json.dumps(build.to_plain())))
    assert dataclasses.asdict(again) == dataclasses.asdict(build)
