from dataclasses import replace
from pathlib import Path

import pytest

from distconv.core.errors import ImpossibleProfileError, MissingEncoderError
from distconv.core.media import (
    Chapter,
    ContentLight,
    MasteringDisplay,
    MediaInfo,
    StreamInfo,
    StreamKind,
)
from distconv.core.profile import Container, Profile
from distconv.core.profiles import load_catalogue, with_container
from distconv.core.report import NoteSeverity
from distconv.media.ffmpeg import FfmpegBuild
from distconv.media.plan import StreamMode, plan_transcode

VIDEO = StreamInfo(
    index=0,
    kind=StreamKind.VIDEO,
    codec="h264",
    width=1920,
    height=1080,
    pixel_format="yuv420p",
    frame_rate="25/1",
    sample_aspect_ratio="1:1",
    field_order="progressive",
    dispositions=("default",),
)
AUDIO = StreamInfo(
    index=1,
    kind=StreamKind.AUDIO,
    codec="ac3",
    sample_rate=48_000,
    channels=6,
    channel_layout="5.1(side)",
    language="eng",
    title="Surround",
    dispositions=("default",),
)
STEREO = replace(AUDIO, codec="aac", channels=2, channel_layout="stereo", title="")
SUBTITLE = StreamInfo(
    index=2, kind=StreamKind.SUBTITLE, codec="subrip", language="deu", dispositions=("forced",)
)
PGS = replace(SUBTITLE, index=3, codec="hdmv_pgs_subtitle", dispositions=())
FONT = StreamInfo(
    index=4, kind=StreamKind.ATTACHMENT, codec="ttf", file_name="a.ttf", mime_type="font/ttf"
)
COVER = replace(VIDEO, index=5, codec="mjpeg", attached_picture=True, dispositions=())
DATA = StreamInfo(index=6, kind=StreamKind.DATA, codec="bin_data")
HDR = replace(
    VIDEO,
    width=3840,
    height=2160,
    codec="hevc",
    pixel_format="yuv420p10le",
    color_transfer="smpte2084",
    mastering_display=MasteringDisplay(
        red=(0.68, 0.32),
        green=(0.265, 0.69),
        blue=(0.15, 0.06),
        white_point=(0.3127, 0.329),
        min_luminance=0.0001,
        max_luminance=1000.0,
    ),
    content_light=ContentLight(max_content=1000, max_frame_average=400),
)
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"


def media(*streams: StreamInfo, container: str = "matroska") -> MediaInfo:
    return MediaInfo(
        container=container,
        size_bytes=1_000_000,
        duration_s=60.0,
        bit_rate=0,
        streams=streams,
        chapters=(Chapter(start_time_s=0, end_time_s=30, title="One"),),
    )


def profile(name: str, container: str = "") -> Profile:
    found = load_catalogue().get(name)
    return with_container(found, container) if container else found


STALE = [
    argument
    for name in (
        "encoder", "BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS_WRITING_APP",
        "_STATISTICS_WRITING_DATE_UTC", "_STATISTICS_TAGS",
    )
    for argument in ("-metadata:s:{}", f"{name}=")
]  # fmt: skip


def stale(number: int) -> list[str]:
    return [argument.format(number) for argument in STALE]


def test_h264_into_mp4(build: FfmpegBuild) -> None:
    plan = plan_transcode(profile("h264-720p"), media(VIDEO, AUDIO, SUBTITLE), build)
    assert list(plan.argv(Path("/opt/ffmpeg"), 9)) == [
        "/opt/ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning", "-nostats",
        "-progress", "pipe:9", "-stats_period", "0.5",
        "-protocol_whitelist", "pipe", "-format_whitelist", "matroska",
        "-f", "matroska", "-i", "pipe:0",
        "-map", "0:0", "-map", "0:1", "-map", "0:2",
        "-c:0", "libx264", "-crf:0", "21", "-preset:0", "fast", "-threads:0", "6",
        "-x264-params:0", "cpu-independent=1", "-g:0", "125",
        "-fps_mode:0", "passthrough", "-enc_time_base:0", "demux",
        "-filter:0", "scale=w=1280:h=720:flags=lanczos+accurate_rnd+bitexact,setsar=sar=1/1",
        "-c:1", "aac", "-b:1", "384000", "-filter:1", "aformat=channel_layouts=5.1",
        "-c:2", "mov_text",
        "-map_metadata", "0", "-map_chapters", "0", "-metadata", "encoder=",
        *stale(0), "-disposition:0", "default",
        *stale(1), "-metadata:s:1", "language=eng", "-metadata:s:1", "title=Surround",
        "-disposition:1", "default",
        *stale(2), "-metadata:s:2", "language=deu", "-disposition:2", "forced",
        "-bitexact", "-min_frag_duration", "2000000",
        "-movflags", "+frag_keyframe+delay_moov+default_base_moof+skip_trailer",
        "-movie_timescale", "90000", "-f", "mp4", "pipe:1",
    ]  # fmt: skip


def test_hdr10_hevc_into_mkv(build: FfmpegBuild) -> None:
    source = media(replace(HDR, index=0), replace(STEREO, dispositions=()), container="mov")
    plan = plan_transcode(profile("hevc", "mkv"), source, build)
    assert list(plan.output_args) == [
        "-map", "0:0", "-map", "0:1",
        "-c:0", "libx265", "-crf:0", "24", "-preset:0", "fast",
        "-x265-params:0",
        ("log-level=warning:pools=16:frame-threads=4:hdr10=1"
        f":master-display={MASTERING}:max-cll=1000,400"),
        "-g:0", "125", "-fps_mode:0", "passthrough", "-enc_time_base:0", "demux",
        "-c:1", "aac", "-b:1", "128000",
        "-map_metadata", "0", "-map_chapters", "0", "-metadata", "encoder=",
        "-metadata", "major_brand=", "-metadata", "minor_version=",
        "-metadata", "compatible_brands=",
        "-metadata:s:0", "encoder=", "-disposition:0", "default",
        "-metadata:s:1", "encoder=", "-metadata:s:1", "language=eng", "-disposition:1", "0",
        "-bitexact", "-f", "matroska",
    ]  # fmt: skip
    assert plan.notes == ()


def test_av1_takes_hdr10_in_its_own_words(build: FfmpegBuild) -> None:
    args = plan_transcode(profile("av1-1080p"), media(HDR), build).output_args
    start = args.index("-c:0")
    assert args[start : start + 14] == (
        "-c:0", "libsvtav1", "-crf:0", "30", "-preset:0", "8", "-svtav1-params:0",
        ("lp=5:mastering-display=G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)"
        "WP(0.31270,0.32900)L(1000.0000,0.0001):content-light=1000,400"),
        "-g:0", "125", "-fps_mode:0", "passthrough", "-enc_time_base:0", "demux",
    )  # fmt: skip


def test_vp9_into_webm(build: FfmpegBuild) -> None:
    plan = plan_transcode(profile("vp9"), media(VIDEO, STEREO, SUBTITLE, container="mov"), build)
    assert list(plan.output_args) == [
        "-map", "0:0", "-map", "0:1", "-map", "0:2",
        "-c:0", "libvpx-vp9", "-crf:0", "31", "-b:0", "0", "-deadline:0", "good",
        "-cpu-used:0", "4", "-row-mt:0", "1", "-tile-columns:0", "2", "-threads:0", "8",
        "-g:0", "125", "-fps_mode:0", "passthrough", "-enc_time_base:0", "demux",
        "-c:1", "libopus", "-b:1", "96000", "-c:2", "webvtt",
        "-map_metadata", "0", "-map_chapters", "0", "-metadata", "encoder=",
        "-metadata", "major_brand=", "-metadata", "minor_version=",
        "-metadata", "compatible_brands=",
        "-metadata:s:0", "encoder=", "-disposition:0", "default",
        "-metadata:s:1", "encoder=", "-metadata:s:1", "language=eng", "-disposition:1", "default",
        "-metadata:s:2", "encoder=", "-metadata:s:2", "language=deu", "-disposition:2", "forced",
        "-bitexact", "-f", "webm",
    ]  # fmt: skip


def test_audio_alone_into_mp4_is_cut_by_time(build: FfmpegBuild) -> None:
    plan = plan_transcode(profile("audio-aac"), media(VIDEO, replace(STEREO, index=1)), build)
    assert list(plan.output_args) == [
        "-map", "0:1", "-c:0", "aac", "-b:0", "128000",
        "-map_metadata", "0", "-map_chapters", "0", "-metadata", "encoder=",
        *stale(0), "-metadata:s:0", "language=eng", "-disposition:0", "default",
        "-bitexact", "-frag_duration", "5000000",
        "-movflags", "+delay_moov+default_base_moof+skip_trailer",
        "-movie_timescale", "90000", "-f", "mp4",
    ]  # fmt: skip


def test_copy_keeps_every_stream_of_a_matroska(build: FfmpegBuild) -> None:
    source = media(VIDEO, AUDIO, SUBTITLE, PGS, FONT, COVER)
    plan = plan_transcode(profile("copy"), source, build)
    assert plan.output_args[:10] == tuple(
        argument for k in range(5) for argument in ("-map", f"0:{k}")
    )
    assert {s.mode for s in plan.streams if not s.source.attached_picture} == {StreamMode.COPY}
    (cover,) = (s for s in plan.streams if s.source.attached_picture)
    assert (cover.mode, cover.index) == (StreamMode.CARRY, -1)
    assert plan.notes == ()
    assert len(plan.expected) == 5


def test_what_mp4_cannot_hold_is_reported(build: FfmpegBuild) -> None:
    source = media(VIDEO, STEREO, SUBTITLE, PGS, FONT, COVER, DATA)
    plan = plan_transcode(profile("h264"), source, build)
    lost = {n.stream_index: n.message for n in plan.notes if n.severity is NoteSeverity.LOST}
    assert lost == {
        3: "mp4 cannot hold picture subtitles (hdmv_pgs_subtitle); mkv can",
        4: "mp4 cannot hold the attached file 'a.ttf'; mkv can",
        6: "mp4 cannot hold the data stream (bin_data)",
    }
    assert [s.source.index for s in plan.streams] == [0, 1, 2, 5]


def test_a_chapter_track_is_no_loss(build: FfmpegBuild) -> None:
    plan = plan_transcode(profile("h264"), media(VIDEO, DATA, container="mov"), build)
    assert plan.notes == ()


def test_ten_bits_into_eight_is_warned_of(build: FfmpegBuild) -> None:
    plan = plan_transcode(profile("h264"), media(HDR), build)
    assert "format=pix_fmts=yuv420p" in plan.output_args[plan.output_args.index("-filter:0") + 1]
    (note,) = plan.notes
    assert note.severity is NoteSeverity.WARNING
    assert "HDR without tone mapping" in note.message


def test_a_turned_picture_is_capped_as_it_is_seen(build: FfmpegBuild) -> None:
    plan = plan_transcode(profile("h264-720p"), media(replace(VIDEO, rotation_degrees=90)), build)
    filters = plan.output_args[plan.output_args.index("-filter:0") + 1]
    assert filters.startswith("scale=w=720:h=1280:")


def test_the_aspect_of_the_samples_is_kept(build: FfmpegBuild) -> None:
    dv = replace(VIDEO, width=1440, sample_aspect_ratio="4:3")
    plan = plan_transcode(profile("h264-720p"), media(dv), build)
    filters = plan.output_args[plan.output_args.index("-filter:0") + 1]
    assert filters == "scale=w=960:h=720:flags=lanczos+accurate_rnd+bitexact,setsar=sar=4/3"


def test_an_interlaced_picture_is_deinterlaced_frame_for_frame(build: FfmpegBuild) -> None:
    plan = plan_transcode(profile("h264"), media(replace(VIDEO, field_order="tt")), build)
    filters = plan.output_args[plan.output_args.index("-filter:0") + 1]
    assert filters == "bwdif=mode=send_frame:parity=auto:deint=interlaced"


def test_opus_maps_layouts_and_rates(build: FfmpegBuild) -> None:
    source = media(replace(AUDIO, sample_rate=44_100))
    args = plan_transcode(profile("audio-opus"), source, build).output_args
    assert args[2:10] == (
        "-c:0", "libopus", "-b:0", "288000", "-ar:0", "48000",
        "-filter:0", "aformat=channel_layouts=5.1",
    )  # fmt: skip


def test_mixing_down_is_warned_of(build: FfmpegBuild) -> None:
    wanted = profile("audio-aac")
    assert wanted.audio is not None
    wanted = replace(wanted, audio=replace(wanted.audio, max_channels=2))
    plan = plan_transcode(wanted, media(AUDIO), build)
    assert [n.message for n in plan.notes] == ["6 channels mixed down to stereo"]
    assert plan.output_args[2:8] == (
        "-c:0", "aac", "-b:0", "128000", "-filter:0", "aformat=channel_layouts=stereo",
    )  # fmt: skip


def test_metadata_and_chapters_are_dropped_where_the_profile_says(build: FfmpegBuild) -> None:
    wanted = replace(profile("h264"), metadata=False, chapters=False, subtitles=False)
    plan = plan_transcode(wanted, media(VIDEO, AUDIO, SUBTITLE), build)
    start = plan.output_args.index("-map_metadata")
    assert plan.output_args[start : start + 4] == ("-map_metadata", "-1", "-map_chapters", "-1")
    assert "title=Surround" not in plan.output_args
    assert "language=eng" in plan.output_args
    assert plan.finish.chapters == ()


def test_video_of_nothing_is_impossible(build: FfmpegBuild) -> None:
    with pytest.raises(ImpossibleProfileError, match=r"no video stream; .*audio-aac"):
        plan_transcode(profile("h264"), media(AUDIO), build)


def test_sound_of_nothing_is_impossible(build: FfmpegBuild) -> None:
    with pytest.raises(ImpossibleProfileError, match="no audio stream"):
        plan_transcode(profile("audio-aac"), media(VIDEO), build)


def test_copying_what_the_container_cannot_hold_is_impossible(build: FfmpegBuild) -> None:
    with pytest.raises(ImpossibleProfileError, match=r"webm cannot hold h264 video \(stream 0\)"):
        plan_transcode(profile("copy", "webm"), media(VIDEO), build)


def test_a_missing_encoder_is_named(build: FfmpegBuild) -> None:
    with pytest.raises(MissingEncoderError, match="lacks encoder libx265"):
        plan_transcode(
            profile("hevc"), media(VIDEO), replace(build, encoders=frozenset({"libx264", "aac"}))
        )


def test_a_file_is_read_from_a_file_where_it_cannot_be_piped(build: FfmpegBuild) -> None:
    plan = plan_transcode(profile("copy"), media(VIDEO, container="mxf"), build)
    argv = plan.file_argv(Path("/opt/ffmpeg"), 5, Path("/tmp/in.mxf"))
    assert argv[10:18] == (
        "-protocol_whitelist", "file,pipe", "-format_whitelist", "mxf",
        "-f", "mxf", "-i", "file:/tmp/in.mxf",
    )  # fmt: skip


def test_the_finishing_knows_titles_and_the_container(build: FfmpegBuild) -> None:
    finish = plan_transcode(profile("h264"), media(VIDEO, AUDIO), build).finish
    assert finish.container is Container.MP4
    assert [(s.kind, s.language, s.title) for s in finish.streams] == [
        (StreamKind.VIDEO, "", ""),
        (StreamKind.AUDIO, "eng", "Surround"),
    ]
    assert [c.title for c in finish.chapters] == ["One"]


def test_aac_that_describes_itself_in_packets_needs_help(build: FfmpegBuild) -> None:
    source = media(VIDEO, STEREO, container="mpegts")
    into_mp4 = plan_transcode(profile("copy", "mp4"), source, build)
    at = into_mp4.output_args.index("-bsf:1")
    assert into_mp4.output_args[at + 1] == "aac_adtstoasc"
    wired = replace(build, muxers=build.muxers | {"nut"})
    into_mkv = plan_transcode(profile("copy", "mkv"), source, wired)
    assert into_mkv.wire_format == into_mkv.finish.wire_format == "nut"
    assert into_mkv.output_args[-2:] == ("-f", "nut")
