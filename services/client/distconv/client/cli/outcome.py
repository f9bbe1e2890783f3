"""What became of a transcode, for people and for programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from distconv.client.cli import text
from distconv.client.cli.jsonable import jsonable
from distconv.client.cli.naming import result_container
from distconv.client.job import Job, JobOutput
from distconv.core.media import MediaInfo, StreamInfo, StreamKind
from distconv.core.report import NoteSeverity

_CODECS = {
    "h264": "H.264",
    "hevc": "H.265",
    "av1": "AV1",
    "vp9": "VP9",
    "vp8": "VP8",
    "aac": "AAC",
    "opus": "Opus",
    "mp3": "MP3",
    "flac": "FLAC",
    "ac3": "AC-3",
    "eac3": "E-AC-3",
    "mpeg4": "MPEG-4",
    "mpeg2video": "MPEG-2",
}
_MARKS = {NoteSeverity.INFO: "note", NoteSeverity.WARNING: "changed", NoteSeverity.LOST: "lost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished transcode: where its output lies, what it is, what it saved.

    `was_left`: an earlier run had begun it, so that `elapsed` is not all that it took.
    """

    job: Job
    output: JobOutput
    path: Path
    source_bytes: int
    elapsed: timedelta
    was_left: bool = False

    @property
    def saved_bytes(self) -> int:
        """Return how much smaller than the source it is; negative when it is larger."""
        return self.source_bytes - self.output.size_bytes

    def as_json(self) -> dict[str, Any]:
        """Describe it for programs."""
        media = self.output.media
        video = media.video if media is not None else None
        return {
            "output": str(self.path),
            "container": result_container(self.job),
            "size_bytes": self.output.size_bytes,
            "sha256": self.output.sha256,
            "duration_s": media.duration_s if media is not None else None,
            "source_size_bytes": self.source_bytes,
            "saved_bytes": self.saved_bytes,
            "saved_fraction": self.saved_bytes / self.source_bytes if self.source_bytes else 0.0,
            "video": _video_json(video) if video is not None else None,
            "audio": [
                {
                    "codec": s.codec,
                    "channels": s.channels,
                    "sample_rate": s.sample_rate,
                    "language": s.language,
                }
                for s in (media.of_kind(StreamKind.AUDIO) if media is not None else ())
            ],
            "notes": jsonable(self.output.notes),
            "elapsed_s": self.elapsed.total_seconds(),
            "job": jsonable(self.job),
        }

    def lines(self) -> Iterator[str]:
        """Describe it for people."""
        yield str(self.path)
        for name, value in self._rows():
            yield f"  {name:<9} {value}"

    def _rows(self) -> Iterator[tuple[str, str]]:
        media = self.output.media
        if media is not None:
            yield from _media_rows(media)
        yield "size", self._size()
        yield "took", self._took(media)
        for note in self.output.notes:
            yield _MARKS[note.severity], note.message

    def _size(self) -> str:
        size = text.size(self.output.size_bytes)
        if not self.source_bytes:
            return size
        share = abs(self.saved_bytes) / self.source_bytes
        if self.saved_bytes >= 0:
            what = f"{text.size(self.saved_bytes)} ({share:.0%}) saved"
        else:
            what = f"{text.size(-self.saved_bytes)} ({share:.0%}) more"
        return f"{size}; the source has {text.size(self.source_bytes)}: {what}"

    def _took(self, media: MediaInfo | None) -> str:
        took = text.span(self.elapsed)
        seconds = self.elapsed.total_seconds()
        if self.was_left:
            return f"{took}, after an earlier run"
        if media is None or not media.duration_s or not seconds:
            return took
        return f"{took} in all, {media.duration_s / seconds:.2f}× real time"


def _media_rows(media: MediaInfo) -> Iterator[tuple[str, str]]:
    if media.video is not None:
        yield "video", describe_video(media.video)
    for stream in media.of_kind(StreamKind.AUDIO):
        yield "audio", describe_audio(stream)
    subtitles = media.of_kind(StreamKind.SUBTITLE)
    if subtitles:
        yield "subtitles", ", ".join(s.language or s.codec for s in subtitles)
    if media.chapters:
        yield "chapters", str(len(media.chapters))
    if media.duration_s is not None:
        yield "length", text.span(media.duration_s)


def describe_video(stream: StreamInfo) -> str:
    """Say what a video stream is: codec, size, rate, HDR."""
    parts = [f"{codec_name(stream.codec)} {stream.width}×{stream.height}"]
    if rate := text.rate(stream.frame_rate):
        parts.append(rate)
    if stream.color_transfer == "smpte2084":
        parts.append("HDR10" if stream.mastering_display else "PQ")
    elif stream.color_transfer == "arib-std-b67":
        parts.append("HLG")
    return ", ".join(parts)


def describe_audio(stream: StreamInfo) -> str:
    """Say what an audio stream is: codec, channels, rate, language."""
    channels = stream.channel_layout or (f"{stream.channels} channels" if stream.channels else "")
    parts = [" ".join(p for p in (codec_name(stream.codec), channels) if p)]
    if stream.sample_rate:
        parts.append(f"{stream.sample_rate / 1000:g} kHz")
    if stream.language and stream.language != "und":
        parts.append(stream.language)
    return ", ".join(parts)


def codec_name(codec: str) -> str:
    """Return a codec's name as people write it."""
    return _CODECS.get(codec, codec)


def _video_json(stream: StreamInfo) -> dict[str, Any]:
    return {
        "codec": stream.codec,
        "width": stream.width,
        "height": stream.height,
        "frame_rate": stream.frame_rate,
        "pixel_format": stream.pixel_format,
    }
