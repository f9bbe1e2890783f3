"""Is the source whole, and does the output hold all of it? Exit code 0 proves neither.

What was counted while the source was read is compared with what it promised,
and what is counted in the output with what the source had. Pure.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from distconv.core.errors import CorruptSourceError, VerificationError
from distconv.core.media import MediaCensus, MediaInfo, StreamCensus, StreamKind

# Containers whose header or index promises a duration. The others' durations
# are guesses from bit rates or from the last time stamps that are there.
_PROMISING = frozenset({"mov", "matroska", "avi", "flv", "asf", "flac"})
# A header's duration is often that of the longest track, rounded or with a
# last subtitle's; a file cut in two lacks far more.
_PROMISE_TOLERANCE_S = 1.0
# Containers and codecs in which one packet is one frame that is shown. In the
# others (field pictures, invisible frames, packed B-frames, a recording that
# starts between key frames) the counts may differ, and only times are compared.
_EXACT_CONTAINERS = frozenset({"mov", "matroska", "nut", "ivf"})
_EXACT_CODECS = frozenset({
    "h264", "hevc", "av1", "vp9", "vvc", "mpeg2video", "mpeg1video", "mjpeg", "prores", "dnxhd",
    "ffv1", "rawvideo", "png", "huffyuv", "utvideo", "cfhd",
})  # fmt: skip
_ROUNDING_S = 0.005  # Matroska's clock ticks at 1 ms, on both sides and at both ends
_INEXACT_TOLERANCE_S = 1.0
_MIN_VIDEO_TOLERANCE_S = 0.05  # the last frame's duration is a guess in most containers


class ProblemKind(StrEnum):
    """What can be wrong."""

    BYTES_MISSING = "bytes_missing"
    DEMUXING_BROKE = "demuxing_broke"
    ENDS_EARLY = "ends_early"
    STREAM_MISSING = "stream_missing"
    PACKETS_DIFFER = "packets_differ"
    FRAMES_DIFFER = "frames_differ"
    END_DIFFERS = "end_differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong; `stream_index` is the source's stream."""

    kind: ProblemKind
    message: str
    stream_index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedStream:
    """A stream that the output has to hold; `copied` when packet for packet."""

    source_index: int
    output_index: int
    kind: StreamKind
    copied: bool


def check_source(
    info: MediaInfo, census: MediaCensus, *, expected_bytes: int
) -> tuple[Problem, ...]:
    """Compare what was read of a source with what its probe promised.

    `expected_bytes` is how many bytes had to be read. A container that
    promises a duration has to hold it to within 1 s.
    """
    return tuple(_source_problems(info, census, expected_bytes))


def require_source(info: MediaInfo, census: MediaCensus, *, expected_bytes: int) -> None:
    """Raise CorruptSourceError with the first problem of a source."""
    for problem in check_source(info, census, expected_bytes=expected_bytes):
        raise CorruptSourceError(problem.message, metadata={"problem": problem.kind.value})


def _source_problems(
    info: MediaInfo, census: MediaCensus, expected_bytes: int
) -> Iterator[Problem]:
    if census.read_bytes != expected_bytes:
        yield Problem(
            kind=ProblemKind.BYTES_MISSING,
            message=f"{census.read_bytes} of the source's {expected_bytes} bytes were read",
        )
    if not census.complete:
        yield Problem(
            kind=ProblemKind.DEMUXING_BROKE,
            message=f"the source is damaged or cut short: {census.problem}",
        )
    end, promised = _last_end(census), _promised_end(info)
    if promised is not None and (end is None or end < promised - _PROMISE_TOLERANCE_S):
        yield Problem(
            kind=ProblemKind.ENDS_EARLY,
            message=f"the source ends at {end or 0:.1f} s, but its header promises "
            f"{promised:.1f} s: it is cut short",
        )


def _last_end(census: MediaCensus) -> float | None:
    return max((s.end_time_s for s in census.streams if s.end_time_s is not None), default=None)


def _promised_end(info: MediaInfo) -> float | None:
    """Return where the source has to end on its own clock; None when it does not say."""
    if info.container not in _PROMISING or not info.duration_s:
        return None
    if info.container == "matroska":  # its duration counts from zero, not from the first frame
        return info.duration_s
    starts = [s.start_time_s for s in info.streams if s.start_time_s is not None]
    return info.duration_s + min(starts, default=0.0)


def check_output(
    source: MediaCensus, output: MediaCensus, expected: Sequence[ExpectedStream]
) -> tuple[Problem, ...]:
    """Compare an output with its source, stream by stream.

    Copied streams have the same number of packets; encoded video has as many
    frames as the source (exactly where a packet is a frame, else not more);
    every sound and picture ends where it ended, counted from the start of the
    first picture: within one frame of the source plus one of the output. A copy
    into a container without edit lists shows what one hid, and is longer by that.
    """
    problems: list[Problem] = []
    if not output.complete:
        problems.append(
            Problem(
                kind=ProblemKind.DEMUXING_BROKE,
                message=f"the output cannot be read to its end: {output.problem}",
            )
        )
    pairs = list(_pairs(source, output, expected))
    exact = source.container in _EXACT_CONTAINERS
    anchor = _anchor(pairs)
    shown_s = max((_shown_lead_s(*pair) for pair in pairs), default=0.0)
    for wanted, before, after in pairs:
        if after is None or (after.kind is not wanted.kind and before is not None):
            problems.append(_missing(wanted))
        elif before is not None:
            problems += _count_problems(wanted, before, after, exact=exact)
            problems += _end_problems(wanted, before, after, anchor, exact=exact, shown_s=shown_s)
    return tuple(problems)


def require_output(
    source: MediaCensus,
    output: MediaCensus,
    expected: Sequence[ExpectedStream],
    *,
    passing_over: Collection[ProblemKind] = (),
) -> None:
    """Raise VerificationError with every problem of an output, but for those passed over."""
    found = check_output(source, output, expected)
    problems = [problem for problem in found if problem.kind not in passing_over]
    if problems:
        raise VerificationError(
            "the output is not whole: " + "; ".join(p.message for p in problems),
            metadata={"problem": problems[0].kind.value},
        )


_Pair = tuple[ExpectedStream, StreamCensus | None, StreamCensus | None]


def _pairs(
    source: MediaCensus, output: MediaCensus, expected: Sequence[ExpectedStream]
) -> Iterator[_Pair]:
    before = {s.index: s for s in source.streams}
    after = {s.index: s for s in output.streams}
    for wanted in expected:
        yield wanted, before.get(wanted.source_index), after.get(wanted.output_index)


def _anchor(pairs: Sequence[_Pair]) -> tuple[float, float]:
    """Return the start of the first picture, else of the first sound, on both clocks."""
    for kind in (StreamKind.VIDEO, StreamKind.AUDIO):
        for wanted, before, after in pairs:
            if wanted.kind is kind and before and after:
                return before.first_time_s or 0.0, after.first_time_s or 0.0
    return 0.0, 0.0


def _shown_lead_s(
    wanted: ExpectedStream, before: StreamCensus | None, after: StreamCensus | None
) -> float:
    """Return how much longer a copy plays because nothing hides what an edit list hid, seconds."""
    if not wanted.copied or before is None or after is None:
        return 0.0
    return max(0, before.hidden_count - after.hidden_count) * _frame_s(before)


def _missing(wanted: ExpectedStream) -> Problem:
    return Problem(
        kind=ProblemKind.STREAM_MISSING,
        stream_index=wanted.source_index,
        message=f"stream {wanted.source_index} ({wanted.kind}) is missing",
    )


def _count_problems(
    wanted: ExpectedStream, before: StreamCensus, after: StreamCensus, *, exact: bool
) -> Iterator[Problem]:
    if wanted.kind is StreamKind.SUBTITLE:  # MP4 fills the gaps between them with empty ones
        if before.packet_count and not after.packet_count:
            yield _missing(wanted)
        return
    if wanted.kind not in (StreamKind.VIDEO, StreamKind.AUDIO):
        return
    if before.packet_count and not after.packet_count:
        yield _missing(wanted)
        return
    if wanted.copied:
        differs, kind, what = before.packet_count != after.packet_count, "packets", "packets"
    elif wanted.kind is StreamKind.VIDEO:
        one_to_one = exact and before.codec in _EXACT_CODECS
        frames, made = before.packet_count - before.hidden_count, after.packet_count
        differs = made > frames or (one_to_one and made != frames)
        kind, what = "frames", "frames"
    else:
        return
    if differs:
        yield Problem(
            kind=ProblemKind(f"{kind}_differ"),
            stream_index=wanted.source_index,
            message=f"stream {wanted.source_index} ({wanted.kind}) has {after.packet_count} "
            f"{what}, its source {before.packet_count}",
        )


def _end_problems(
    wanted: ExpectedStream,
    before: StreamCensus,
    after: StreamCensus,
    anchor: tuple[float, float],
    *,
    exact: bool,
    shown_s: float,
) -> Iterator[Problem]:
    if wanted.kind not in (StreamKind.VIDEO, StreamKind.AUDIO):
        return
    if before.end_time_s is None or after.end_time_s is None:
        return
    tolerance = _frame_s(before) + _frame_s(after) + _ROUNDING_S
    if wanted.kind is StreamKind.VIDEO:
        tolerance = max(tolerance, _MIN_VIDEO_TOLERANCE_S)
    if not exact:
        tolerance = max(tolerance, _INEXACT_TOLERANCE_S)
    was, is_now = before.end_time_s - anchor[0], after.end_time_s - anchor[1]
    longer = shown_s if wanted.copied else 0.0
    if not -tolerance <= is_now - was <= tolerance + longer:
        yield Problem(
            kind=ProblemKind.END_DIFFERS,
            stream_index=wanted.source_index,
            message=f"stream {wanted.source_index} ({wanted.kind}) ends at {is_now:.3f} s, "
            f"in its source at {was:.3f} s",
        )


def _frame_s(stream: StreamCensus) -> float:
    """Return the mean length of a packet that is shown, seconds."""
    shown = stream.packet_count - stream.hidden_count
    if shown <= 0 or stream.end_time_s is None:
        return 0.0
    return (stream.end_time_s - (stream.first_time_s or 0.0)) / shown
