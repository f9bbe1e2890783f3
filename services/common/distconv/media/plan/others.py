"""What becomes of subtitles, cover pictures, attachments and data."""

from distconv.core.media import MediaInfo, StreamInfo
from distconv.core.profile import Container, Profile
from distconv.core.report import Note, NoteSeverity
from distconv.media.plan.values import Choice, StreamMode, copied, lost

_TEXT = frozenset({"subrip", "ass", "ssa", "webvtt", "mov_text", "text", "eia_608", "subviewer"})
_MKV_COPY = frozenset(
    {"subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}
    | {"hdmv_text_subtitle", "arib_caption"}
)
_TEXT_ENCODER = {Container.MKV: "srt", Container.MP4: "mov_text", Container.WEBM: "webvtt"}
_TEXT_CODEC = {Container.MKV: "subrip", Container.MP4: "mov_text", Container.WEBM: "webvtt"}
_STYLED = frozenset({"ass", "ssa"})
_COVERS = frozenset({"mjpeg", "png"})


def choose_subtitle(stream: StreamInfo, container: Container) -> Choice:
    """Decide what becomes of a subtitle: kept as it is, converted to text, or reported lost."""
    codec = _TEXT_CODEC[container]
    keeps = _MKV_COPY if container is Container.MKV else {codec}
    if stream.codec in keeps:
        return copied(stream)
    if stream.codec not in _TEXT:
        what = "picture subtitles" if stream.codec else "a subtitle of an unknown kind"
        return lost(stream, f"{container} cannot hold {what} ({stream.codec}); mkv can")
    message = f"subtitles converted from {stream.codec} to {codec}"
    severity = NoteSeverity.INFO
    if stream.codec in _STYLED:
        message, severity = f"{message}: fonts and positions are not kept", NoteSeverity.WARNING
    return Choice(
        source=stream,
        mode=StreamMode.CONVERT,
        codec=codec,
        encoder=_TEXT_ENCODER[container],
        options=(("c", _TEXT_ENCODER[container]),),
        notes=(Note(severity=severity, stream_index=stream.index, message=message),),
    )


def choose_cover(stream: StreamInfo, profile: Profile) -> Choice:
    """Decide what becomes of a cover picture: no pipe can carry one, so it travels beside."""
    if profile.container is Container.WEBM:
        return lost(stream, "webm cannot hold a cover picture")
    if stream.codec not in _COVERS:
        return lost(stream, f"the cover picture is of a kind that is not kept ({stream.codec})")
    return Choice(source=stream, mode=StreamMode.CARRY, codec=stream.codec)


def choose_attachment(stream: StreamInfo, container: Container) -> Choice:
    """Decide what becomes of an attached file."""
    if container is Container.MKV:
        return copied(stream)
    name = stream.file_name or stream.mime_type or "without a name"
    return lost(stream, f"{container} cannot hold the attached file '{name}'; mkv can")


def choose_data(stream: StreamInfo, info: MediaInfo, container: Container) -> Choice:
    """Decide what becomes of a data stream."""
    if info.container == "mov" and info.chapters and stream.codec == "bin_data":
        # QuickTime keeps chapter titles in a text track: they are kept as chapters
        return Choice(source=stream, mode=None)
    if stream.codec == "tmcd":  # ffmpeg reads it by seeking alone, which no pipe allows
        return lost(stream, "the time code track is not kept")
    return lost(stream, f"{container} cannot hold the data stream ({stream.codec or 'unknown'})")
