"""Put a plan together: every stream on purpose, then the muxer."""

from collections.abc import Iterator

from distconv.core.errors import ImpossibleProfileError, MissingEncoderError
from distconv.core.media import MediaInfo, StreamInfo, StreamKind
from distconv.core.profile import Container, Profile
from distconv.core.report import Note, NoteSeverity
from distconv.media.ffmpeg import FfmpegBuild
from distconv.media.finish import MOVIE_CLOCK, FinishSpec, FinishStream
from distconv.media.plan.audio import choose_audio, is_adts
from distconv.media.plan.others import (
    choose_attachment,
    choose_cover,
    choose_data,
    choose_subtitle,
)
from distconv.media.plan.values import (
    Choice,
    OutputStream,
    StreamMode,
    TranscodePlan,
)
from distconv.media.plan.video import choose_video

_MUXERS = {Container.MP4: "mp4", Container.MKV: "matroska", Container.WEBM: "webm"}
_ORDER = (
    StreamKind.VIDEO, StreamKind.AUDIO, StreamKind.SUBTITLE, StreamKind.ATTACHMENT, StreamKind.DATA,
)  # fmt: skip
# Statistics that mkvmerge writes about the packets: false once these are others.
_STALE = (
    "BPS", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES",
    "_STATISTICS_WRITING_APP", "_STATISTICS_WRITING_DATE_UTC", "_STATISTICS_TAGS",
)  # fmt: skip
_WITHOUT_TIMES = frozenset({"h264", "hevc", "mpegvideo", "m4v", "vc1"})
_WITHOUT_PTS = frozenset({"avi", "mpeg", "mpegts"})
_BRANDS = ("major_brand", "minor_version", "compatible_brands")


def plan_transcode(profile: Profile, info: MediaInfo, build: FfmpegBuild) -> TranscodePlan:
    """Plan how ffmpeg makes `profile` of a source; pure.

    Raises ImpossibleProfileError when the profile cannot be applied to this
    source, MissingEncoderError when the build lacks what it takes.
    """
    _check_kinds(profile, info)
    choices = [c for s in _in_order(info) if (c := _choose(s, info, profile)) is not None]
    mapped = [c for c in choices if c.mode not in (None, StreamMode.CARRY)]
    carried = [c for c in choices if c.mode is StreamMode.CARRY]
    if not mapped:
        raise ImpossibleProfileError(f"profile '{profile.name}' leaves nothing of this source")
    encoders = frozenset(c.encoder for c in choices if c.encoder)
    wire_format = _wire_format(profile.container, info, mapped)
    _check_build(build, encoders, wire_format)
    return TranscodePlan(
        profile=profile.name,
        container=profile.container,
        demuxer=info.container,
        wire_format=wire_format,
        input_args=_reading(info, mapped),
        output_args=(
            *_mapping(mapped),
            *_metadata(profile, info, mapped),
            *_muxing(wire_format, mapped),
        ),
        streams=tuple(
            OutputStream(
                index=k if c.mode is not StreamMode.CARRY else -1,
                source=c.source,
                mode=c.mode or StreamMode.COPY,
                codec=c.codec,
            )
            for k, c in enumerate([*mapped, *carried])
        ),
        finish=_finish(profile, info, mapped, wire_format),
        notes=tuple(note for c in choices for note in c.notes) + _chapter_notes(profile, info),
        encoders=encoders,
    )


def _check_kinds(profile: Profile, info: MediaInfo) -> None:
    kinds = {s.kind for s in info.streams if not s.attached_picture}
    if profile.video is not None and StreamKind.VIDEO not in kinds and not _is_copy(profile):
        hint = "; for sound alone use audio-aac or audio-opus" if StreamKind.AUDIO in kinds else ""
        raise ImpossibleProfileError(
            f"profile '{profile.name}' makes video, but the source has no video stream{hint}"
        )
    if profile.video is None and StreamKind.AUDIO not in kinds:
        raise ImpossibleProfileError(
            f"profile '{profile.name}' makes sound alone, but the source has no audio stream; "
            "use a profile with video"
        )


def _is_copy(profile: Profile) -> bool:
    return profile.video is not None and profile.video.codec == "copy"


def _check_build(build: FfmpegBuild, encoders: frozenset[str], muxer: str) -> None:
    missing = [f"encoder {name}" for name in sorted(encoders - build.encoders)]
    if muxer not in build.muxers:
        missing.append(f"muxer {muxer}")
    if missing:
        raise MissingEncoderError(f"ffmpeg {build.version} lacks {', '.join(missing)}")


def _in_order(info: MediaInfo) -> list[StreamInfo]:
    """Return the streams by kind, and in the source's order within each."""
    return sorted(info.streams, key=lambda s: (_ORDER.index(s.kind), s.index))


def _choose(stream: StreamInfo, info: MediaInfo, profile: Profile) -> Choice | None:
    container = profile.container
    if stream.attached_picture:
        return choose_cover(stream, profile)
    if stream.kind is StreamKind.VIDEO and profile.video:
        return choose_video(stream, profile.video, container)
    if stream.kind is StreamKind.AUDIO and profile.audio:
        return choose_audio(stream, profile.audio, container, info.container)
    if stream.kind is StreamKind.SUBTITLE and profile.subtitles:
        return choose_subtitle(stream, container)
    if stream.kind is StreamKind.ATTACHMENT and profile.attachments:
        return choose_attachment(stream, container)
    return choose_data(stream, info, container) if stream.kind is StreamKind.DATA else None


def _reading(info: MediaInfo, mapped: list[Choice]) -> tuple[str, ...]:
    copies = any(c.mode is StreamMode.COPY and c.source.kind is StreamKind.VIDEO for c in mapped)
    if copies and info.container in _WITHOUT_TIMES:
        raise ImpossibleProfileError(
            "the source is a bare video stream without time stamps, which cannot be copied into "
            "a container as it is; use a profile that encodes"
        )
    # these hold decoding times alone, and a muxer left without the others refuses or invents them
    return ("-fflags", "+genpts") if copies and info.container in _WITHOUT_PTS else ()


def _mapping(mapped: list[Choice]) -> Iterator[str]:
    for choice in mapped:
        yield from ("-map", f"0:{choice.source.index}")
    # pictures before the first key frame too: a broadcast's recording starts anywhere
    for number, choice in enumerate(mapped):
        if choice.mode is StreamMode.COPY and choice.source.kind is StreamKind.VIDEO:
            yield f"-copyinkf:{number}"
        for name, value in choice.options:
            yield from (f"-{name}:{number}", value)


def _metadata(profile: Profile, info: MediaInfo, mapped: list[Choice]) -> Iterator[str]:
    yield from ("-map_metadata", "0" if profile.metadata else "-1")
    yield from ("-map_chapters", "0" if profile.chapters else "-1")
    yield from ("-metadata", "encoder=")  # it names the source's writer, not ours
    if info.container == "mov" and profile.container is not Container.MP4:
        for name in _BRANDS:
            yield from ("-metadata", f"{name}=")
    for number, choice in enumerate(mapped):
        stale = ("encoder", *_STALE) if info.container == "matroska" else ("encoder",)
        yield from _stream_metadata(f":{number}", choice, profile, stale)


def _stream_metadata(
    at: str, choice: Choice, profile: Profile, stale: tuple[str, ...]
) -> Iterator[str]:
    source = choice.source
    if choice.mode is not StreamMode.COPY:
        for name in stale:
            yield from (f"-metadata:s{at}", f"{name}=")
    if source.language:
        yield from (f"-metadata:s{at}", f"language={source.language}")
    if source.title and profile.metadata:
        yield from (f"-metadata:s{at}", f"title={source.title}")
    if source.kind is not StreamKind.ATTACHMENT:
        yield from (f"-disposition{at}", "+".join(source.dispositions) or "0")


def _wire_format(container: Container, info: MediaInfo, mapped: list[Choice]) -> str:
    adts = any(c.mode is StreamMode.COPY and is_adts(c.source, info.container) for c in mapped)
    if container is Container.MKV and adts:
        # Matroska's header has to describe AAC, which a pipe's muxer cannot yet
        # when the description comes with the packets; NUT's need not.
        return "nut"
    return _MUXERS[container]


def _muxing(wire_format: str, mapped: list[Choice]) -> Iterator[str]:
    yield "-bitexact"  # no random ids, no dates: the same task gives the same bytes
    if wire_format == "mp4":
        # delay_moov, never empty_moov: that one loses edit lists and shifts
        # video against audio.
        flags = ["delay_moov", "default_base_moof", "skip_trailer"]
        if any(c.source.kind is StreamKind.VIDEO for c in mapped):
            flags.insert(0, "frag_keyframe")
            yield from ("-min_frag_duration", "2000000")  # µs; for streams of key frames alone
        else:
            yield from ("-frag_duration", "5000000")  # µs
        yield from ("-movflags", "+" + "+".join(flags), *MOVIE_CLOCK)
    yield from ("-f", wire_format)


def _finish(
    profile: Profile, info: MediaInfo, mapped: list[Choice], wire_format: str
) -> FinishSpec:
    return FinishSpec(
        wire_format=wire_format,
        container=profile.container,
        streams=tuple(
            FinishStream(
                kind=c.source.kind,
                language=c.source.language,
                title=c.source.title if profile.metadata else "",
                dispositions=c.source.dispositions,
            )
            for c in mapped
        ),
        chapters=info.chapters if profile.chapters else (),
    )


def _chapter_notes(profile: Profile, info: MediaInfo) -> tuple[Note, ...]:
    if profile.chapters or not info.chapters:
        return ()
    message = f"{len(info.chapters)} chapters dropped, as the profile says"
    return (Note(severity=NoteSeverity.INFO, message=message),)
