"""Small synthetic clips, made once by the real ffmpeg, and the tools to look at what came out."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import av
import pytest

from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.profiles import load_catalogue, with_container
from distconv.media.ffmpeg import FfmpegBuild, locate_ffmpeg
from distconv.media.outcome import TranscodeOutcome
from distconv.media.plan import TranscodePlan, plan_transcode
from distconv.media.ports import CallbackSink, FileSource
from distconv.media.probe.prober import WarmProber
from distconv.media.remux import finish_file
from distconv.media.sandbox import RlimitSandbox
from distconv.media.transcode import transcode

FRAMES = 50
RICH_FONT = bytes(range(256)) * 20
SRT = "1\n00:00:00,200 --> 00:00:00,900\nHello\n\n2\n00:00:01,000 --> 00:00:01,600\nWorld\n"
ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.50,0:00:01.50,Default,,0,0,0,,Hallo {\\b1}Welt
"""
CHAPTERS = """;FFMETADATA1
title=Film
[CHAPTER]
TIMEBASE=1/1000
START=0
END=1000
title=One
[CHAPTER]
TIMEBASE=1/1000
START=1000
END=2000
title=Zwei
"""
MASTER = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


@pytest.fixture(scope="session")
def build() -> FfmpegBuild:
    return asyncio.run(locate_ffmpeg())


@pytest.fixture(scope="session")
def ffmpeg(build: FfmpegBuild) -> Callable[..., None]:
    def run(*args: str | Path) -> None:
        command = [str(build.path), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
        subprocess.run([*command, *map(str, args)], check=True, timeout=60)

    return run


_PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=2")
_SOUND = ("-f", "lavfi", "-i", "sine=440:d=2:r=48000")
_SOUND_2 = ("-f", "lavfi", "-i", "sine=880:d=2:r=48000")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "10", "-pix_fmt", "yuv420p")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory, ffmpeg: Callable[..., None]) -> Path:
    """A folder of clips: see the names."""
    folder = tmp_path_factory.mktemp("clips")
    last = folder / "index-last.mp4"
    ffmpeg(*_PICTURE, *_SOUND, *_H264, "-c:a", "aac", last)
    ffmpeg("-i", last, "-c", "copy", "-movflags", "+faststart", folder / "index-first.mp4")
    ffmpeg("-i", last, "-c", "copy", folder / "plain.mkv")
    ffmpeg("-i", last, "-c", "copy", folder / "plain.ts")
    ffmpeg("-display_rotation", "90", "-i", last, "-c", "copy", folder / "turned.mp4")
    ffmpeg("-i", last, "-map", "0:a", "-c", "copy", folder / "sound.m4a")
    ffmpeg("-i", last, "-map", "0:v", "-c", "copy", folder / "silent.mp4")
    _make_vfr(ffmpeg, folder)
    _make_rich(ffmpeg, folder)
    return folder


def _make_vfr(ffmpeg: Callable[..., None], folder: Path) -> None:
    """Frames at odd times: every third is left out."""
    ffmpeg(
        *_PICTURE, "-vf", "select=mod(n\\,3)", "-fps_mode", "passthrough", *_H264,
        "-video_track_timescale", "90000", folder / "vfr.mp4",
    )  # fmt: skip


def _make_rich(ffmpeg: Callable[..., None], folder: Path) -> None:
    """Two sounds, two subtitles, chapters, a font, HDR10, and a cover."""
    (folder / "a.srt").write_text(SRT)
    (folder / "b.ass").write_text(ASS)
    (folder / "chapters.txt").write_text(CHAPTERS)
    (folder / "font.ttf").write_bytes(RICH_FONT)
    ffmpeg(*_PICTURE, "-frames:v", "1", "-s", "64x64", folder / "cover.jpg")
    hdr = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc:range=tv"
    ffmpeg(
        "-f", "lavfi", "-i", f"testsrc2=s=320x180:r=25:d=2,format=yuv420p10le,{hdr}",
        *_SOUND, *_SOUND_2, "-i", folder / "a.srt", "-i", folder / "b.ass",
        "-i", folder / "chapters.txt",
        "-map", "0", "-map", "1", "-map", "2", "-map", "3", "-map", "4",
        "-map_metadata", "5", "-map_chapters", "5",
        "-attach", folder / "font.ttf", "-metadata:s:t:0", "mimetype=application/x-truetype-font",
        "-metadata:s:t:0", "filename=font.ttf",
        "-attach", folder / "cover.jpg", "-metadata:s:t:1", "mimetype=image/jpeg",
        "-metadata:s:t:1", "filename=cover.jpg",
        "-c:v", "libx265", "-preset", "ultrafast",
        "-x265-params", f"log-level=error:hdr10=1:master-display={MASTER}:max-cll=1000,400",
        "-c:a:0", "aac", "-c:a:1", "libopus", "-b:a:1", "64k", "-c:s", "copy",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu",
        "-metadata:s:a:1", "title=Kommentar", "-disposition:a:0", "default",
        "-disposition:a:1", "comment", "-metadata:s:s:0", "language=eng",
        "-metadata:s:s:1", "language=deu", "-disposition:s:1", "forced",
        folder / "rich.mkv",
    )  # fmt: skip


@pytest.fixture
async def prober() -> AsyncIterator[WarmProber]:
    async with WarmProber(RlimitSandbox()) as warm:
        yield warm


@dataclass(frozen=True, kw_only=True)
class Rendition:
    """All that is known of one rendition: from the source, on the wire, at rest."""

    info: MediaInfo
    plan: TranscodePlan
    outcome: TranscodeOutcome
    wire: Path
    path: Path
    census: MediaCensus
    result: MediaInfo


Render = Callable[[Path, str, str], Awaitable[Rendition]]


@pytest.fixture
def render(build: FfmpegBuild, prober: WarmProber, tmp_path: Path) -> Render:
    """Probe, plan, stream, finish and look at the result: the whole path, without a network."""

    async def run(path: Path, profile: str, container: str = "") -> Rendition:
        wanted = load_catalogue().get(profile)
        wanted = with_container(wanted, container) if container else wanted
        wire = tmp_path / f"wire.{wanted.container}"
        out = tmp_path / f"out.{wanted.container}"
        sandbox = RlimitSandbox()
        with FileSource(path) as source, wire.open("wb") as file:
            info = await prober.probe(source)
            plan = plan_transcode(wanted, info, build)
            outcome = await transcode(
                source,
                CallbackSink(file.write),
                plan=plan,
                info=info,
                build=build,
                sandbox=sandbox,
                prober=prober,
            )
        await finish_file(wire, out, container=wanted.container, build=build, sandbox=sandbox)
        census = await prober.census_file(out)
        with FileSource(out) as source:
            result = await prober.probe(source)
        return Rendition(
            info=info,
            plan=plan,
            outcome=outcome,
            wire=wire,
            path=out,
            census=census,
            result=result,
        )

    return run


@pytest.fixture
def frame_count() -> Callable[[Path], int]:
    """Count frames by decoding every one of them."""

    def count(path: Path) -> int:
        with av.open(str(path)) as container:
            return sum(1 for _ in container.decode(video=0))

    return count


@pytest.fixture(params=["book.mkv", "bottle-detection.mp4", "car-detection.mp4"])
def real_clip(request: pytest.FixtureRequest) -> Path:
    folder = os.environ.get("DISTCONV_TEST_MEDIA")
    if not folder:
        pytest.skip("DISTCONV_TEST_MEDIA names no folder of real clips")
    return Path(folder, request.param)
