from pathlib import Path

from distconv.core.media import Chapter, StreamKind
from distconv.core.profile import Container
from distconv.media.finish import FinishSpec, FinishStream, Picture
from distconv.media.remux import Extras, ffmetadata, remux_argv

STREAMS = (
    FinishStream(kind=StreamKind.VIDEO, dispositions=("default",)),
    FinishStream(kind=StreamKind.AUDIO, language="deu", title="Kommentar"),
)
COVER = (Picture(codec="mjpeg", data=b""),)
FFMPEG, SOURCE = Path("/opt/ffmpeg"), Path("/data/wire")


def test_an_mp4_gets_its_index_first_and_its_cover() -> None:
    spec = FinishSpec(container=Container.MP4, streams=STREAMS, pictures=COVER)
    extras = Extras(pictures=(Path("/data/cover.jpg"),))
    argv = remux_argv(FFMPEG, 7, SOURCE, Path("/data/out"), spec=spec, extras=extras)
    assert list(argv) == [
        "/opt/ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-nostats", "-y",
        "-progress", "pipe:7", "-copyts",
        "-protocol_whitelist", "file", "-format_whitelist", "mov",
        "-f", "mov", "-i", "file:/data/wire",
        "-protocol_whitelist", "file", "-format_whitelist", "jpeg_pipe",
        "-f", "jpeg_pipe", "-i", "file:/data/cover.jpg",
        "-map", "0:0", "-map", "0:1", "-map_chapters", "0",
        "-c", "copy", "-copyinkf", "-map_metadata", "0", "-bitexact",
        "-disposition:0", "default",
        "-metadata:s:1", "language=deu", "-metadata:s:1", "title=Kommentar", "-disposition:1", "0",
        "-map", "1:0", "-disposition:2", "attached_pic",
        "-movflags", "+faststart", "-movie_timescale", "90000", "-f", "mp4", "file:/data/out",
    ]  # fmt: skip


def test_a_matroska_gets_cues_first_and_its_cover_attached() -> None:
    streams = (*STREAMS, FinishStream(kind=StreamKind.ATTACHMENT))
    spec = FinishSpec(container=Container.MKV, streams=streams, pictures=COVER)
    extras = Extras(pictures=(Path("/data/cover.jpg"),))
    argv = remux_argv(FFMPEG, 7, SOURCE, Path("/data/out"), spec=spec, extras=extras)
    assert list(argv[argv.index("-map") :]) == [
        "-map", "0:0", "-map", "0:1", "-map", "0:2", "-map_chapters", "0",
        "-c", "copy", "-copyinkf", "-map_metadata", "0", "-bitexact",
        "-disposition:0", "default",
        "-metadata:s:1", "language=deu", "-metadata:s:1", "title=Kommentar", "-disposition:1", "0",
        "-attach", "file:/data/cover.jpg",
        "-metadata:s:t:1", "filename=cover.jpg", "-metadata:s:t:1", "mimetype=image/jpeg",
        "-cues_to_front", "1", "-cluster_time_limit", "1000", "-cluster_size_limit", "32768",
        "-f", "matroska", "file:/data/out",
    ]  # fmt: skip


def test_a_file_that_says_nothing_keeps_all_but_data() -> None:
    spec = FinishSpec(container=Container.WEBM, streams=())
    argv = remux_argv(FFMPEG, 7, SOURCE, Path("/data/out"), spec=spec)
    assert list(argv[argv.index("-map") :]) == [
        "-map", "0", "-map", "-0:d?", "-map_chapters", "0",
        "-c", "copy", "-copyinkf", "-map_metadata", "0", "-bitexact",
        "-cues_to_front", "1", "-cluster_time_limit", "1000", "-cluster_size_limit", "32768",
        "-f", "webm", "file:/data/out",
    ]  # fmt: skip


def test_chapters_are_taken_from_their_own_file() -> None:
    spec = FinishSpec(container=Container.MP4, streams=STREAMS)
    extras = Extras(chapters=Path("/data/chapters.txt"))
    argv = remux_argv(FFMPEG, 7, SOURCE, Path("/data/out"), spec=spec, extras=extras)
    at = argv.index("-map_chapters")
    assert argv[at + 1] == "1"
    assert "file:/data/chapters.txt" in argv


def test_chapters_are_rendered_with_their_titles_escaped() -> None:
    spec = FinishSpec(
        container=Container.MP4,
        streams=(),
        chapters=(Chapter(start_time_s=1.5, end_time_s=2.25, title="a=b;#\\\nc"),),
    )
    assert ffmetadata(spec) == (
        ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000000\nSTART=1500000\nEND=2250000\n"
        "title=a\\=b\\;\\#\\\\\\\nc\n"
    )


def test_what_follows_nut_media_is_cut_off() -> None:
    spec = FinishSpec(container=Container.MKV, streams=STREAMS, wire_format="nut")
    argv = remux_argv(FFMPEG, 7, SOURCE, Path("/data/out"), spec=spec, media_bytes=1000)
    assert list(argv[9:17]) == [
        "-protocol_whitelist", "subfile,file", "-format_whitelist", "nut",
        "-f", "nut", "-i", "subfile,,start,0,end,1000,,:/data/wire",
    ]  # fmt: skip
