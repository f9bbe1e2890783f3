"""Make of a streamed file what a pipe cannot give, by a stream copy from file to file.

MP4: plain, index first, cover pictures. Matroska and WebM: duration and cues,
in front; cover pictures as attachments.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distconv.core.errors import DataLossError, DiskFullError, EncodeFailedError
from distconv.core.media import StreamKind
from distconv.core.profile import Container
from distconv.media.ffmpeg import FfmpegBuild
from distconv.media.finish import MOVIE_CLOCK, FinishSpec, read_trailer
from distconv.media.process import Report, RunLimits, RunResult, run_process
from distconv.media.sandbox import Sandbox

_DEMUXERS = {Container.MP4: "mov", Container.MKV: "matroska", Container.WEBM: "matroska"}
_MUXERS = {Container.MP4: "mp4", Container.MKV: "matroska", Container.WEBM: "webm"}
_IMAGE_DEMUXERS = {"mjpeg": "jpeg_pipe", "png": "png_pipe"}
# What the muxer takes by itself when it writes to a pipe (libavformat/matroskaenc.c), in ms and
# bytes: the clusters stay those of the stream, and whoever has that needs them no more.
_STREAM_CLUSTERS = ("-cluster_time_limit", "1000", "-cluster_size_limit", "32768")
# The mp4 muxer's chapter list (Nero's chpl) counts in one byte: a fragmented
# file loses the rest, which are given anew.
_MAX_WIRE_CHAPTERS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """Files that hold what the streamed file lacks."""

    pictures: tuple[Path, ...] = ()
    chapters: Path | None = None


async def finish_file(
    source: Path,
    target: Path,
    *,
    container: Container,
    build: FfmpegBuild,
    sandbox: Sandbox,
    limits: RunLimits | None = None,
    on_progress: Report | None = None,
) -> RunResult:
    """Make `target` of the streamed file `source`; `source` stays as it is.

    What the stream could not carry is read from its end, when it is there.
    `target` may exist half-made after a failure: its removal is the caller's.
    Raises DiskFullError, EncodeFailedError, StalledError or DataLossError.
    """
    # the child's folder is another
    source, target = source.absolute(), target.absolute()  # noqa: ASYNC240 - touches no disk
    found = await asyncio.to_thread(read_trailer, source)
    spec = found.spec if found else FinishSpec(container=container, streams=())
    if spec.container is not container:
        raise DataLossError(f"the streamed file is to become {spec.container}, not {container}")
    media_bytes = found.media_bytes if found else None
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".finish-") as folder:
        extras = await asyncio.to_thread(_write_extras, spec, Path(folder))
        result = await run_process(
            lambda fd: remux_argv(
                build.path, fd, source, target, spec=spec, extras=extras, media_bytes=media_bytes
            ),
            sandbox=sandbox,
            limits=limits or RunLimits(),
            on_progress=on_progress,
        )
    if result.exit_code != 0:
        raise _failure(result)
    return result


def _failure(result: RunResult) -> EncodeFailedError | DiskFullError:
    if any("No space left on device" in line for line in result.stderr_tail):
        return DiskFullError("the disk is full: the output cannot be finished")
    why = result.stderr_tail[-1] if result.stderr_tail else "it says nothing"
    return EncodeFailedError(
        f"finishing the output failed: ffmpeg ended with code {result.exit_code}: {why}",
        argv=result.argv,
        exit_code=result.exit_code,
        stderr_tail=result.stderr_tail,
    )


def remux_argv(
    ffmpeg: Path,
    progress_fd: int,
    source: Path,
    target: Path,
    *,
    spec: FinishSpec,
    extras: Extras | None = None,
    media_bytes: int | None = None,
) -> tuple[str, ...]:
    """Return the command that finishes `source` into `target`; pure.

    `media_bytes` is how much of `source` is media, where something follows it.
    """
    extras = extras or Extras()
    return (
        *(str(ffmpeg), "-nostdin", "-hide_banner", "-loglevel", "warning", "-nostats", "-y"),
        *("-progress", f"pipe:{progress_fd}"),
        # what starts before zero was hidden by an edit list, and is again
        *(("-copyts",) if spec.container is Container.MP4 else ()),
        *_wire_input(spec, source, media_bytes),
        *_extra_inputs(spec, extras),
        *_mapping(spec, extras),
        # -copyinkf: what comes before a first key frame was written on purpose
        *("-c", "copy", "-copyinkf", "-map_metadata", "0", "-bitexact"),
        *_stream_tags(spec),
        *_pictures(spec, extras),
        *_muxing(spec.container),
        f"file:{target}",
    )


def _wire_input(spec: FinishSpec, path: Path, media_bytes: int | None) -> tuple[str, ...]:
    if spec.wire_format != "nut" or media_bytes is None:
        return _input(_DEMUXERS[spec.container], path)
    # NUT has nothing that readers skip: what follows the media is cut off
    guard = ("-protocol_whitelist", "subfile,file", "-format_whitelist", "nut")
    return (*guard, "-f", "nut", "-i", f"subfile,,start,0,end,{media_bytes},,:{path}")


def _input(demuxer: str, path: Path) -> tuple[str, ...]:
    guard = ("-protocol_whitelist", "file", "-format_whitelist", demuxer)
    return (*guard, "-f", demuxer, "-i", f"file:{path}")


def _extra_inputs(spec: FinishSpec, extras: Extras) -> Iterator[str]:
    if extras.chapters is not None:
        yield from _input("ffmetadata", extras.chapters)
    if spec.container is Container.MP4:
        for picture, path in zip(spec.pictures, extras.pictures, strict=True):
            yield from _input(_IMAGE_DEMUXERS[picture.codec], path)


def _mapping(spec: FinishSpec, extras: Extras) -> Iterator[str]:
    if spec.streams:
        # by number: an MP4's chapters stand behind them as a data stream, and are written anew
        for number in range(len(spec.streams)):
            yield from ("-map", f"0:{number}")
    else:
        yield from ("-map", "0", "-map", "-0:d?")
    yield from ("-map_chapters", "1" if extras.chapters is not None else "0")


def _stream_tags(spec: FinishSpec) -> Iterator[str]:
    for number, stream in enumerate(spec.streams):
        if stream.kind is StreamKind.ATTACHMENT:
            continue
        if stream.language:
            yield from (f"-metadata:s:{number}", f"language={stream.language}")
        if stream.title:
            yield from (f"-metadata:s:{number}", f"title={stream.title}")
        yield from (f"-disposition:{number}", "+".join(stream.dispositions) or "0")


def _pictures(spec: FinishSpec, extras: Extras) -> Iterator[str]:
    first_input = 1 if extras.chapters is None else 2
    attached = sum(s.kind is StreamKind.ATTACHMENT for s in spec.streams)
    for k, (picture, path) in enumerate(zip(spec.pictures, extras.pictures, strict=True)):
        if spec.container is Container.MP4:
            yield from ("-map", f"{first_input + k}:0")
            yield from (f"-disposition:{len(spec.streams) + k}", "attached_pic")
        else:
            at = f"-metadata:s:t:{attached + k}"
            yield from ("-attach", f"file:{path}")
            yield from (at, f"filename={picture.file_name}", at, f"mimetype={picture.mime_type}")


def _muxing(container: Container) -> tuple[str, ...]:
    if container is Container.MP4:
        return ("-movflags", "+faststart", *MOVIE_CLOCK, "-f", "mp4")
    return ("-cues_to_front", "1", *_STREAM_CLUSTERS, "-f", _MUXERS[container])


def _write_extras(spec: FinishSpec, folder: Path) -> Extras:
    paths = []
    for number, picture in enumerate(spec.pictures):
        path = folder / f"{number}-{picture.file_name}"
        path.write_bytes(picture.data)
        paths.append(path)
    chapters = None
    if spec.container is Container.MP4 and len(spec.chapters) > _MAX_WIRE_CHAPTERS:
        chapters = folder / "chapters.txt"
        chapters.write_text(ffmetadata(spec), "utf-8")
    return Extras(pictures=tuple(paths), chapters=chapters)


def ffmetadata(spec: FinishSpec) -> str:
    """Render chapters in ffmpeg's own text form (doc/metadata.texi)."""
    lines = [";FFMETADATA1"]
    for chapter in spec.chapters:
        title = "".join(f"\\{c}" if c in "=;#\\\n" else c for c in chapter.title)
        lines += [
            "[CHAPTER]",
            "TIMEBASE=1/1000000",
            f"START={round(chapter.start_time_s * 1e6)}",
            f"END={round(chapter.end_time_s * 1e6)}",
            f"title={title}",
        ]
    return "\n".join(lines) + "\n"
