import asyncio
import contextlib
import hashlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition

from distconv.core.errors import (
    CorruptSourceError,
    DataLossError,
    DiskFullError,
    EncodeFailedError,
    ImpossibleProfileError,
    UnavailableError,
)
from distconv.core.media import MediaInfo, StreamKind
from distconv.core.profile import Container
from distconv.core.profiles import load_catalogue
from distconv.core.report import NoteSeverity
from distconv.core.verify import check_output, require_output
from distconv.media.ffmpeg import FfmpegBuild
from distconv.media.layout import LayoutKind
from distconv.media.plan import plan_transcode
from distconv.media.ports import Buffer, BytesSink, BytesSource, FileSource
from distconv.media.probe.prober import WarmProber
from distconv.media.process import RunLimits
from distconv.media.remux import finish_file
from distconv.media.sandbox import Limits, RlimitSandbox
from distconv.media.structure.boxes import scan_top_level
from distconv.media.transcode import TranscodeLimits, transcode

Render = Callable[..., Any]


def kinds(info: MediaInfo) -> list[str]:
    return [s.kind.value for s in info.streams]


@pytest.mark.parametrize(
    ("profile", "container", "codec"),
    [
        ("h264-720p", "", "h264"),
        ("h264-720p", "mkv", "h264"),
        ("hevc", "", "hevc"),
        ("hevc", "mkv", "hevc"),
        ("av1", "", "av1"),
        ("av1", "webm", "av1"),
        ("vp9", "", "vp9"),
        ("vp9", "mp4", "vp9"),
        ("copy", "mp4", "h264"),
        ("copy", "", "h264"),
    ],
)
async def test_every_codec_into_its_containers(
    render: Render,
    clips: Path,
    frame_count: Callable[[Path], int],
    profile: str,
    container: str,
    codec: str,
) -> None:
    made = await render(clips / "index-last.mp4", profile, container)
    require_output(made.outcome.source_census, made.census, made.plan.expected)
    assert made.result.video.codec == codec
    assert frame_count(made.path) == 50
    assert made.result.duration_s == pytest.approx(2.0, abs=0.05)
    assert kinds(made.result) == ["video", "audio"]
    assert not made.result.index_last


@pytest.mark.parametrize(("profile", "codec"), [("audio-aac", "aac"), ("audio-opus", "opus")])
async def test_sound_alone(render: Render, clips: Path, profile: str, codec: str) -> None:
    made = await render(clips / "index-last.mp4", profile)
    require_output(made.outcome.source_census, made.census, made.plan.expected)
    assert [(s.kind.value, s.codec) for s in made.result.streams] == [("audio", codec)]


@pytest.mark.parametrize("name", ["index-last.mp4", "index-first.mp4", "plain.mkv", "plain.ts"])
async def test_every_order_of_bytes_gives_the_frames_of_the_file(
    render: Render, clips: Path, build: FfmpegBuild, tmp_path: Path, name: str
) -> None:
    made = await render(clips / name, "copy")
    direct, streamed = _decoded(clips / name), _decoded(made.path)
    assert len(direct) == 50
    assert streamed == direct


def _decoded(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [
            hashlib.sha256(b"".join(bytes(p) for p in frame.planes)).hexdigest()
            for frame in container.decode(video=0)
        ]


async def test_an_index_last_file_is_fed_index_first(render: Render, clips: Path) -> None:
    made = await render(clips / "index-last.mp4", "copy")
    assert made.info.index_last
    assert made.outcome.layout is LayoutKind.INDEX_FIRST
    assert made.outcome.source_sha256 is None


async def test_a_source_fed_as_it_is_is_digested(render: Render, clips: Path) -> None:
    made = await render(clips / "plain.mkv", "copy")
    data = (clips / "plain.mkv").read_bytes()
    assert made.outcome.source_sha256 == hashlib.sha256(data).hexdigest()
    assert made.outcome.source_census.read_bytes == len(data)


async def test_an_mp4_is_plain_and_index_first_at_rest(render: Render, clips: Path) -> None:
    made = await render(clips / "plain.mkv", "h264-720p")
    with FileSource(made.path) as source:
        found = await scan_top_level(source)
    kinds_found = [box.kind for box in found.boxes]
    assert kinds_found.index(b"moov") < kinds_found.index(b"mdat")
    assert b"moof" not in kinds_found
    assert b"uuid" not in kinds_found


async def test_a_matroska_has_its_duration_and_cues_at_rest(render: Render, clips: Path) -> None:
    made = await render(clips / "plain.mkv", "copy")
    assert made.result.duration_s == pytest.approx(2.0, abs=0.05)
    with av.open(str(made.path)) as container:
        container.seek(1_500_000)
        first = next(container.decode(video=0))
        assert first.time == pytest.approx(1.2, abs=0.41)
    data = made.path.read_bytes()
    assert data.index(bytes.fromhex("1c53bb6b")) < data.index(bytes.fromhex("1f43b675"))


async def test_a_variable_frame_rate_stays(render: Render, clips: Path) -> None:
    made = await render(clips / "vfr.mp4", "h264-720p")
    assert _times(made.path) == pytest.approx(_times(clips / "vfr.mp4"), abs=0.0001)
    assert len(set(_gaps(_times(made.path)))) > 1


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        times = [frame.time or 0.0 for frame in container.decode(video=0)]
    return [t - times[0] for t in times]


def _gaps(times: list[float]) -> list[float]:
    return [round(b - a, 3) for a, b in itertools.pairwise(times)]


async def test_everything_survives_into_mkv(render: Render, clips: Path) -> None:
    made = await render(clips / "rich.mkv", "hevc", "mkv")
    require_output(made.outcome.source_census, made.census, made.plan.expected)
    before, after = made.info, made.result
    assert kinds(after) == [
        "video",
        "audio",
        "audio",
        "subtitle",
        "subtitle",
        "attachment",
        "video",
    ]
    assert made.outcome.notes == ()
    assert after.chapters == before.chapters
    assert after.tags["title"] == "Film"
    for old, new in zip(before.streams, after.streams, strict=True):
        assert (new.language, new.title, new.dispositions, new.file_name, new.mime_type) == (
            old.language,
            old.title,
            old.dispositions,
            old.file_name,
            old.mime_type,
        )
    _assert_hdr10(before, after)
    assert [s.codec for s in after.of_kind(StreamKind.SUBTITLE)] == ["subrip", "ass"]
    assert after.streams[6].attached_picture
    assert _attachment(made.path) == bytes(range(256)) * 20


def _attachment(path: Path) -> bytes:
    with av.open(str(path)) as container:
        (stream,) = container.streams.attachments
        return stream.data


def _assert_hdr10(before: MediaInfo, after: MediaInfo) -> None:
    old, new = before.video, after.video
    assert old is not None
    assert new is not None
    assert old.mastering_display is not None
    assert new.mastering_display == old.mastering_display
    assert new.content_light == old.content_light
    assert (new.color_primaries, new.color_transfer, new.color_space, new.color_range) == (
        "bt2020",
        "smpte2084",
        "bt2020nc",
        "tv",
    )
    assert new.pixel_format == "yuv420p10le"


async def test_into_mp4_all_that_it_can_hold_and_a_report_of_the_rest(
    render: Render, clips: Path
) -> None:
    made = await render(clips / "rich.mkv", "hevc", "mp4")
    require_output(made.outcome.source_census, made.census, made.plan.expected)
    after = made.result
    kept = [s for s in after.streams if s.kind is not StreamKind.DATA]
    assert [s.kind.value for s in kept] == [
        "video", "audio", "audio", "subtitle", "subtitle", "video",
    ]  # fmt: skip
    assert [(s.language, s.title) for s in kept[1:5]] == [
        ("eng", ""),
        ("deu", "Kommentar"),
        ("eng", ""),
        ("deu", ""),
    ]
    assert "comment" in kept[2].dispositions
    assert "forced" in kept[4].dispositions
    assert [s.codec for s in kept[3:5]] == ["mov_text", "mov_text"]
    assert kept[5].attached_picture
    assert [(c.title, round(c.start_time_s, 2)) for c in after.chapters] == [
        ("One", 0.0),
        ("Zwei", 1.0),
    ]
    assert after.tags["title"] == "Film"
    _assert_hdr10(made.info, after)
    lost = [n.stream_index for n in made.outcome.notes if n.severity is NoteSeverity.LOST]
    assert lost == [5]  # the font
    converted = [n.stream_index for n in made.outcome.notes if n.severity is not NoteSeverity.LOST]
    assert converted == [3, 4]


async def test_chapters_beyond_what_the_wire_can_count_survive(
    render: Render, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    lines = [";FFMETADATA1"]
    for k in range(300):
        lines += ["[CHAPTER]", "TIMEBASE=1/1000", f"START={6 * k}", f"END={6 * k + 6}"]
        lines += [f"title=Chapter {k}; a=b"]
    (tmp_path / "chapters.txt").write_text("\n".join(lines).replace("; a=", r"\; a\="))
    path = tmp_path / "many.mkv"
    ffmpeg("-i", clips / "plain.mkv", "-i", tmp_path / "chapters.txt", "-map_chapters", "1",
           "-c", "copy", path)  # fmt: skip
    made = await render(path, "copy", "mp4")
    assert len(made.info.chapters) == 300
    with av.open(str(made.path)) as container:
        titles = [c["metadata"]["title"] for c in container.chapters()]
    assert titles == [c.title for c in made.info.chapters]
    assert titles[-1] == "Chapter 299; a=b"


async def test_finishing_as_another_container_than_was_streamed_is_refused(
    render: Render, clips: Path, build: FfmpegBuild, tmp_path: Path
) -> None:
    made = await render(clips / "plain.mkv", "copy", "mp4")
    with pytest.raises(DataLossError, match="is to become mp4, not mkv"):
        await finish_file(
            made.wire,
            tmp_path / "other.mkv",
            container=Container.MKV,
            build=build,
            sandbox=RlimitSandbox(),
        )


@pytest.mark.parametrize(("profile", "container"), [("av1", "mkv"), ("vp9", "webm"), ("copy", "")])
async def test_hdr10_survives_every_encoder(
    render: Render, clips: Path, profile: str, container: str
) -> None:
    made = await render(clips / "rich.mkv", profile, container)
    before, after = made.info.video, made.result.video
    assert after.content_light == before.content_light
    assert after.mastering_display.max_luminance == pytest.approx(1000.0, rel=0.001)
    assert after.mastering_display.red == pytest.approx(before.mastering_display.red, abs=0.001)
    assert after.color_transfer == "smpte2084"


async def test_a_cover_goes_from_mp4_to_mkv_and_back(render: Render, clips: Path) -> None:
    into_mp4 = await render(clips / "rich.mkv", "copy", "mp4")
    back = into_mp4.path.rename(into_mp4.path.with_name("again.mp4"))
    into_mkv = await render(back, "copy", "mkv")
    for made in (into_mp4, into_mkv):
        assert [s.codec for s in made.result.streams if s.attached_picture] == ["mjpeg"]
    assert _cover(into_mkv.path) == (clips / "cover.jpg").read_bytes()


def _cover(path: Path) -> bytes:
    with av.open(str(path)) as container:
        (stream,) = (
            s for s in container.streams.video if Disposition.attached_pic in s.disposition
        )
        return bytes(next(p for p in container.demux(stream) if p.size))


async def test_a_turned_picture_is_upright_when_encoded(render: Render, clips: Path) -> None:
    made = await render(clips / "turned.mp4", "h264-720p")
    video = made.result.video
    assert made.info.video.rotation_degrees == 270
    assert (video.width, video.height, video.rotation_degrees) == (180, 320, 0)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
async def test_a_turned_picture_stays_turned_when_copied(
    render: Render, clips: Path, container: str
) -> None:
    made = await render(clips / "turned.mp4", "copy", container)
    assert made.result.video.rotation_degrees == 270


async def test_the_same_task_gives_the_same_bytes(render: Render, clips: Path) -> None:
    digests = set()
    for _ in range(2):
        made = await render(clips / "index-last.mp4", "h264-720p")
        digests.add(hashlib.sha256(made.wire.read_bytes() + made.path.read_bytes()).hexdigest())
    assert len(digests) == 1


async def test_a_profile_without_its_stream_is_impossible(render: Render, clips: Path) -> None:
    with pytest.raises(ImpossibleProfileError, match="no video stream"):
        await render(clips / "sound.m4a", "h264")
    with pytest.raises(ImpossibleProfileError, match="no audio stream"):
        await render(clips / "silent.mp4", "audio-aac")


@pytest.mark.parametrize("name", ["index-first.mp4", "index-last.mp4", "plain.mkv"])
async def test_half_a_file_is_refused(
    render: Render, clips: Path, tmp_path: Path, name: str
) -> None:
    whole = (clips / name).read_bytes()
    half = tmp_path / f"half-{name}"
    half.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorruptSourceError, match="cut short"):
        await render(half, "copy")


async def test_half_a_matroska_without_sizes_is_refused_by_its_end(
    render: Render, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """A segment of unknown size, and a header that promises 2 s: ffmpeg ends with code 0."""
    whole = bytearray((clips / "plain.mkv").read_bytes())
    at = whole.index(bytes.fromhex("18538067")) + 4
    assert whole[at] == 0x01
    whole[at + 1 : at + 8] = b"\xff" * 7
    half = tmp_path / "live.mkv"
    half.write_bytes(whole[: len(whole) * 4 // 10])
    with pytest.raises(CorruptSourceError, match=r"ends at .* promises 2\.0 s"):
        await render(half, "h264-720p")


@pytest.fixture
def run(build: FfmpegBuild, prober: WarmProber) -> Callable[..., Any]:
    async def go(source: Any, sink: Any, path: Path, *, limits: Any = None, **kwargs: Any) -> Any:
        with FileSource(path) as file:
            info = await prober.probe(file)
        return await transcode(
            source,
            sink,
            plan=plan_transcode(load_catalogue().get(kwargs.pop("profile", "copy")), info, build),
            info=info,
            build=build,
            sandbox=RlimitSandbox(),
            prober=prober,
            limits=limits,
            **kwargs,
        )

    return go


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


class BreakingSource(BytesSource):
    """Break off after half of the bytes."""

    async def read(self, offset: int, length: int) -> bytes:
        if offset >= self.size_bytes // 2:
            raise UnavailableError("storage is gone")
        return await super().read(offset, length)


async def test_a_source_that_breaks_off_ends_ffmpeg(run: Callable[..., Any], clips: Path) -> None:
    path = clips / "plain.mkv"
    pids: list[int] = []
    sink = BytesSink()
    limits = TranscodeLimits(piece_bytes=4096)
    with pytest.raises(UnavailableError, match="storage is gone"):
        await run(
            BreakingSource(path.read_bytes()), sink, path, limits=limits, on_start=pids.append
        )
    assert _gone(pids[0])


async def test_a_source_shorter_than_it_says_is_data_loss(
    run: Callable[..., Any], clips: Path
) -> None:
    path = clips / "plain.mkv"
    source = BytesSource(path.read_bytes()[:-1])
    source.size_bytes += 1
    with pytest.raises(DataLossError):
        await run(source, BytesSink(), path)


class FullSink:
    async def write(self, data: Buffer) -> None:
        raise DiskFullError("the disk is full")


async def test_a_sink_that_fails_ends_ffmpeg(run: Callable[..., Any], clips: Path) -> None:
    path = clips / "plain.mkv"
    pids: list[int] = []
    with FileSource(path) as source, pytest.raises(DiskFullError):
        await run(source, FullSink(), path, on_start=pids.append)
    assert _gone(pids[0])


class WaitingSource(BytesSource):
    """Give the first half, then wait for ever."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.waiting = asyncio.Event()

    async def read(self, offset: int, length: int) -> bytes:
        if offset >= self.size_bytes // 2:
            self.waiting.set()
            await asyncio.Event().wait()
        return await super().read(offset, length)


async def test_cancelling_leaves_nothing_running(run: Callable[..., Any], clips: Path) -> None:
    path = clips / "plain.mkv"
    source, pids = WaitingSource(path.read_bytes()), list[int]()
    task = asyncio.create_task(
        run(
            source,
            BytesSink(),
            path,
            profile="h264-720p",
            on_start=pids.append,
            limits=TranscodeLimits(piece_bytes=4096),
        )
    )
    await source.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _gone(pids[0])


async def test_a_waiting_source_is_no_stall(run: Callable[..., Any], clips: Path) -> None:
    path = clips / "plain.mkv"
    source = WaitingSource(path.read_bytes())
    limits = TranscodeLimits(run=RunLimits(stall_timeout_s=0.2), piece_bytes=4096)
    task = asyncio.create_task(run(source, BytesSink(), path, limits=limits))
    await source.waiting.wait()
    done, _ = await asyncio.wait([task], timeout=0.6)
    assert not done
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_damage_that_ffmpeg_gives_up_on_is_said(run: Callable[..., Any], clips: Path) -> None:
    path = clips / "plain.mkv"
    data = bytearray(path.read_bytes())
    data[: len(data)] = data[:100] + bytes(len(data) - 100)
    with pytest.raises((CorruptSourceError, EncodeFailedError)):
        await run(BytesSource(bytes(data)), BytesSink(), path)


async def test_nothing_touches_the_disk(
    run: Callable[..., Any], ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    """A regular file above the limit would kill its writer; pipes are free."""
    path = tmp_path / "large.mkv"
    ffmpeg(
        "-f", "lavfi", "-i", "nullsrc=s=640x360:d=2:r=25,geq=random(1)*255:128:128",
        "-c:v", "rawvideo", "-pix_fmt", "yuv420p", path,
    )  # fmt: skip
    assert path.stat().st_size > 16 << 20
    sink = BytesSink()
    limits = TranscodeLimits(run=RunLimits(sandbox=Limits(file_size_bytes=1 << 20)))
    with FileSource(path) as source:
        outcome = await run(source, sink, path, limits=limits)
    assert outcome.output_bytes == len(sink.data) > 16 << 20
    assert outcome.source_census.read_bytes == path.stat().st_size


@pytest.mark.media
@pytest.mark.parametrize(("profile", "container"), [("h264-720p", "mp4"), ("hevc", "mkv")])
async def test_real_clips_keep_every_frame(
    render: Render,
    real_clip: Path,
    frame_count: Callable[[Path], int],
    profile: str,
    container: str,
) -> None:
    made = await render(real_clip, profile, container)
    assert check_output(made.outcome.source_census, made.census, made.plan.expected) == ()
    assert frame_count(made.path) == frame_count(real_clip)
    assert abs(_drift(real_clip) - _drift(made.path)) <= 1024 / 48_000 + 0.001
    if container == "mp4":
        assert not made.result.index_last


def _drift(path: Path) -> float:
    """Return by how much the sound starts later than the picture, as decoded."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return 0.0
        picture = next(container.decode(video=0)).time
    with av.open(str(path)) as container:
        sound = next(container.decode(audio=0)).time
    assert picture is not None
    assert sound is not None
    return sound - picture


async def test_a_recording_that_starts_between_key_frames_is_copied_whole(
    render: Render, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    whole, recording = tmp_path / "whole.ts", tmp_path / "recording.ts"
    ffmpeg("-i", clips / "index-last.mp4", "-map", "0:v", "-c:v", "mpeg2video", "-g", "12", whole)
    data = whole.read_bytes()
    recording.write_bytes(data[len(data) // 3 // 188 * 188 :])
    for container in ("mkv", "mp4"):
        made = await render(recording, "copy", container)
        require_output(made.outcome.source_census, made.census, made.plan.expected)
        assert _packets(made.path) == _packets(recording) > 36


def _packets(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)


@pytest.mark.parametrize("source", ["old.avi", "old.mpg"])
async def test_a_copy_plays_at_the_times_of_a_source_that_stores_none(
    render: Render, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path, source: str
) -> None:
    path = tmp_path / source
    codec = ("mpeg4", "-bf", "2") if path.suffix == ".avi" else ("mpeg1video", "-bf", "2")
    ffmpeg("-i", clips / "index-last.mp4", "-c:v", *codec, "-c:a", "mp2", path)
    for container in ("mkv", "mp4"):
        made = await render(path, "copy", container)
        require_output(made.outcome.source_census, made.census, made.plan.expected)
        assert _gaps(_times(made.path)) == pytest.approx(_gaps(_times(path)), abs=0.0015)


async def test_what_an_edit_list_hides_is_copied_hidden_or_reported(
    render: Render, clips: Path, ffmpeg: Callable[..., None], frame_count: Any, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mp4"
    ffmpeg("-ss", "0.9", "-i", clips / "index-last.mp4", "-c", "copy", cut)
    into_mp4 = await render(cut, "copy", "mp4")
    require_output(into_mp4.outcome.source_census, into_mp4.census, into_mp4.plan.expected)
    hidden = into_mp4.outcome.source_census.streams[0].hidden_count
    assert into_mp4.census.streams[0].hidden_count == hidden > 0
    assert not into_mp4.outcome.notes
    into_mkv = await render(cut, "copy", "mkv")
    require_output(into_mkv.outcome.source_census, into_mkv.census, into_mkv.plan.expected)
    (note,) = into_mkv.outcome.notes
    assert note.severity is NoteSeverity.WARNING
    assert note.message.startswith(f"{hidden} frames that the source's edit list hides are shown")


async def test_a_bare_stream_without_times_is_not_copied(
    render: Render, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    bare = tmp_path / "bare.h264"
    ffmpeg("-i", clips / "index-last.mp4", "-map", "0:v", "-c", "copy", bare)
    with pytest.raises(ImpossibleProfileError, match="without time stamps"):
        await render(bare, "copy", "mkv")
    made = await render(bare, "h264", "mkv")
    require_output(made.outcome.source_census, made.census, made.plan.expected)


async def test_a_time_code_that_is_lost_is_named(
    render: Render, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    coded = tmp_path / "coded.mov"
    ffmpeg("-i", clips / "silent.mp4", "-c", "copy", "-timecode", "01:00:00:00", coded)
    made = await render(coded, "copy", "mkv")
    (note,) = made.outcome.notes
    assert (note.severity, note.message) == (NoteSeverity.LOST, "the time code track is not kept")


async def test_transparency_that_lies_beside_the_picture_is_reported(
    render: Render, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    glass = tmp_path / "glass.webm"
    fast = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8")
    ffmpeg("-i", clips / "silent.mp4", "-t", "0.5", "-vf", "format=yuva420p", *fast, glass)
    made = await render(glass, "h264", "mp4")
    assert [n.message for n in made.outcome.notes] == ["transparency is not kept"]
    assert made.result.streams[0].pixel_format == "yuv420p"


async def test_half_a_flac_is_refused_and_one_of_unknown_length_taken(
    render: Render, clips: Path, ffmpeg: Callable[..., None], tmp_path: Path
) -> None:
    whole, half, unknown = (tmp_path / f"{name}.flac" for name in ("whole", "half", "unknown"))
    ffmpeg("-i", clips / "sound.m4a", "-c:a", "flac", whole)
    data = whole.read_bytes()
    half.write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptSourceError, match="its header promises"):
        await render(half, "audio-opus")
    # STREAMINFO's number of samples: the low 36 bits before the MD5 (RFC 9639 §8.2)
    unknown.write_bytes(data[:21] + bytes([data[21] & 0xF0, 0, 0, 0, 0]) + data[26:])
    made = await render(unknown, "audio-opus")
    require_output(made.outcome.source_census, made.census, made.plan.expected)
