"""What a transcode comes to, whichever way the source reached ffmpeg."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from distconv.core.errors import EncodeFailedError
from distconv.core.media import MediaCensus, StreamKind
from distconv.core.profile import Container
from distconv.core.report import Note, NoteSeverity
from distconv.media.finish import FinishSpec, Picture
from distconv.media.layout import LayoutKind
from distconv.media.plan.values import StreamMode, TranscodePlan
from distconv.media.process import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscodeOutcome:
    """What a transcode did.

    `source_sha256` is the digest of the source, None when its bytes were not
    fed in their own order. `notes` are the plan's and what turned up on the way.
    """

    run: RunResult
    layout: LayoutKind
    layout_reason: str
    source_census: MediaCensus
    source_sha256: str | None
    frame_count: int
    output_bytes: int
    notes: tuple[Note, ...]


def encode_failure(result: RunResult) -> EncodeFailedError:
    """Say that ffmpeg failed, in its own last words."""
    why = result.stderr_tail[-1] if result.stderr_tail else "it says nothing"
    return EncodeFailedError(
        f"ffmpeg ended with code {result.exit_code}: {why}",
        argv=result.argv,
        exit_code=result.exit_code,
        stderr_tail=result.stderr_tail,
    )


def shown_notes(plan: TranscodePlan, census: MediaCensus) -> Iterator[Note]:
    """Say what an edit list of the source hid that a copy without edit lists shows."""
    hidden = {s.index: s.hidden_count for s in census.streams}
    for stream in plan.streams:
        count = hidden.get(stream.source.index, 0)
        copied = stream.mode is StreamMode.COPY and stream.kind is StreamKind.VIDEO
        if count and copied and plan.container is not Container.MP4:
            yield Note(
                severity=NoteSeverity.WARNING,
                stream_index=stream.source.index,
                message=f"{count} frames that the source's edit list hides are shown: "
                f"{plan.container} has no edit lists; mp4 keeps them hidden",
            )


def carried(
    plan: TranscodePlan, found: Mapping[int, Picture]
) -> tuple[FinishSpec, tuple[Note, ...]]:
    """Return how to finish the output, with the cover pictures that were found."""
    pictures: list[Picture] = []
    notes: list[Note] = []
    for stream in plan.streams:
        if stream.mode is not StreamMode.CARRY:
            continue
        picture = found.get(stream.source.index)
        if picture is not None:
            pictures.append(picture)
            continue
        message = "the cover picture is too large to be kept, or unreadable"
        notes.append(
            Note(severity=NoteSeverity.LOST, stream_index=stream.source.index, message=message)
        )
    return plan.finish.with_pictures(tuple(pictures)), tuple(notes)
