import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from distconv.core.errors import (
    CorruptSourceError,
    MediaError,
    UnavailableError,
    UnsupportedSourceError,
)
from distconv.core.media import StreamKind
from distconv.media.ports import BytesSource, FileSource
from distconv.media.probe.prober import WarmProber, probe
from distconv.media.sandbox import RlimitSandbox


async def test_everything_is_read(prober: WarmProber, clips: Path) -> None:
    with FileSource(clips / "rich.mkv") as source:
        info = await prober.probe(source)
    assert info.container == "matroska"
    assert info.size_bytes == (clips / "rich.mkv").stat().st_size
    assert info.duration_s == pytest.approx(2.0, abs=0.05)
    video, english, german, srt, ass, font, cover = info.streams
    assert (video.codec, video.width, video.height, video.frame_rate) == ("hevc", 320, 180, "25/1")
    assert (video.pixel_format, video.field_order) == ("yuv420p10le", "progressive")
    assert video.mastering_display is not None
    assert video.mastering_display.green == pytest.approx((0.265, 0.69))
    assert video.mastering_display.min_luminance == pytest.approx(0.0001)
    assert video.mastering_display.max_luminance == pytest.approx(1000.0)
    assert video.content_light is not None
    assert (video.content_light.max_content, video.content_light.max_frame_average) == (1000, 400)
    assert (english.codec, english.language, english.sample_rate) == ("aac", "eng", 48_000)
    assert (german.codec, german.language, german.title) == ("opus", "deu", "Kommentar")
    assert (english.dispositions, german.dispositions) == (("default",), ("comment",))
    assert (srt.codec, srt.language) == ("subrip", "eng")
    assert (ass.codec, ass.dispositions) == ("ass", ("forced",))
    assert (font.kind, font.file_name, font.mime_type) == (
        StreamKind.ATTACHMENT,
        "font.ttf",
        "application/x-truetype-font",
    )
    assert cover.attached_picture
    assert [(c.title, c.start_time_s, c.end_time_s) for c in info.chapters] == [
        ("One", 0.0, 1.0),
        ("Zwei", 1.0, 2.0),
    ]
    assert info.tags["title"] == "Film"


async def test_an_mp4_says_its_frames_and_where_its_index_lies(
    prober: WarmProber, clips: Path
) -> None:
    with FileSource(clips / "index-last.mp4") as source:
        info = await prober.probe(source)
    assert (info.container, info.index_last) == ("mov", True)
    assert info.video is not None
    assert info.video.frame_count == 50
    with FileSource(clips / "index-first.mp4") as source:
        assert not (await prober.probe(source)).index_last


async def test_a_turned_picture_says_how_to_turn_it(prober: WarmProber, clips: Path) -> None:
    with FileSource(clips / "turned.mp4") as source:
        info = await prober.probe(source)
    assert info.video is not None
    assert info.video.rotation_degrees == 270  # ffmpeg's 90 is anticlockwise


@pytest.mark.parametrize("name", ["index-last.mp4", "plain.mkv", "plain.ts", "rich.mkv"])
async def test_a_census_from_a_stream_is_that_of_the_file(
    prober: WarmProber, clips: Path, name: str
) -> None:
    path = clips / ("index-first.mp4" if name == "index-last.mp4" else name)
    data = path.read_bytes()
    container = {"mp4": "mov", "mkv": "matroska", "ts": "mpegts"}[path.suffix[1:]]
    async with prober.census_stream(container) as counting:
        for start in range(0, len(data), 10_000):
            await counting.write(data[start : start + 10_000])
        streamed = await counting.finish()
    assert streamed == await prober.census_file(path)
    assert streamed.complete
    assert streamed.read_bytes == len(data)
    video = next(s for s in streamed.streams if s.kind is StreamKind.VIDEO)
    assert video.packet_count == 50
    assert video.packet_bytes == _payload(path)


def _payload(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(p.size for p in container.demux(container.streams.video[0]))


async def test_cover_pictures_come_with_the_census(prober: WarmProber, clips: Path) -> None:
    async with prober.census_stream("matroska") as counting:
        await counting.write((clips / "rich.mkv").read_bytes())
        await counting.finish()
    (picture,) = counting.pictures.values()
    assert picture.data == (clips / "cover.jpg").read_bytes()


@pytest.mark.parametrize("name", ["index-first.mp4", "plain.mkv"])
async def test_a_census_of_half_a_file_shows_it(prober: WarmProber, clips: Path, name: str) -> None:
    data = (clips / name).read_bytes()
    container = "mov" if name.endswith("mp4") else "matroska"
    async with prober.census_stream(container) as counting:
        await counting.write(data[: len(data) // 2])
        census = await counting.finish()
    ends = [s.end_time_s or 0.0 for s in census.streams]
    assert not census.complete or max(ends) < 1.5


@pytest.mark.parametrize(
    "script",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {}\n",
        '<?xml version="1.0"?><MPD><Period><BaseURL>{}</BaseURL></Period></MPD>',
    ],
)
async def test_a_script_is_refused_and_never_followed(
    prober: WarmProber, clips: Path, tmp_path: Path, script: str
) -> None:
    bait = tmp_path / "bait.mp4"
    os.mkfifo(bait)  # whoever opened it would hang, and be seen
    data = script.format(bait).encode()
    with pytest.raises(UnsupportedSourceError, match="never opened"):
        await prober.probe(BytesSource(data))
    async with asyncio.timeout(10), prober.session() as session:  # past the first look at it
        with pytest.raises(MediaError):
            await session.probe(BytesSource(data))


@pytest.mark.parametrize("data", [b"\0" * 5000, bytes(range(256)) * 40, b"\xff\xfb" + bytes(50)])
async def test_what_is_no_media_is_refused(prober: WarmProber, data: bytes) -> None:
    with pytest.raises(MediaError):
        await prober.probe(BytesSource(data))


async def test_a_child_that_dies_is_the_files_fault(prober: WarmProber, clips: Path) -> None:
    async with prober.session() as session:
        await session.ready()
        os.kill(session.pid, signal.SIGSEGV)
        with (
            FileSource(clips / "plain.mkv") as source,
            pytest.raises(CorruptSourceError, match="code -11"),
        ):
            await session.probe(source)


async def test_a_source_that_fails_is_not_the_files_fault(prober: WarmProber, clips: Path) -> None:
    class Failing(BytesSource):
        reads = 0

        async def read(self, offset: int, length: int) -> bytes:
            self.reads += 1
            if self.reads > 3:
                raise UnavailableError("storage is gone")
            return await super().read(offset, length)

    with pytest.raises(UnavailableError):
        await prober.probe(Failing((clips / "plain.mkv").read_bytes()))


async def test_every_source_gets_a_child_of_its_own(clips: Path) -> None:
    async with WarmProber(RlimitSandbox()) as prober:
        pids = []
        for _ in range(3):
            async with prober.session() as session:
                pids.append(session.pid)
    assert len(set(pids)) == 3
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_one_probe_needs_no_prober(clips: Path) -> None:
    with FileSource(clips / "plain.mkv") as source:
        assert (await probe(source, sandbox=RlimitSandbox())).container == "matroska"


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", ["index-first.mp4", "index-last.mp4", "plain.mkv"])
async def test_a_file_cut_anywhere_is_refused_at_the_probe(
    prober: WarmProber, clips: Path, name: str, cut: float
) -> None:
    data = (clips / name).read_bytes()
    with pytest.raises(CorruptSourceError):
        await prober.probe(BytesSource(data[: int(len(data) * cut)]))


async def test_an_avi_is_probed_and_half_of_it_refused(
    prober: WarmProber, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    path = tmp_path / "a.avi"
    ffmpeg("-i", clips / "plain.mkv", "-c:v", "mpeg4", "-c:a", "mp3", path)
    data = path.read_bytes()
    assert (await prober.probe(BytesSource(data))).container == "avi"
    with pytest.raises(CorruptSourceError, match="RIFF"):
        await prober.probe(BytesSource(data[: len(data) // 2]))
