from dataclasses import replace

import pytest

from distconv.core.errors import CorruptSourceError, VerificationError
from distconv.core.media import MediaCensus, MediaInfo, StreamCensus, StreamInfo, StreamKind
from distconv.core.verify import (
    ExpectedStream,
    ProblemKind,
    check_output,
    check_source,
    require_output,
    require_source,
)

VIDEO = StreamCensus(
    index=0,
    kind=StreamKind.VIDEO,
    codec="h264",
    packet_count=750,
    packet_bytes=1_000_000,
    first_time_s=0.0,
    end_time_s=30.0,
)
AUDIO = StreamCensus(
    index=1,
    kind=StreamKind.AUDIO,
    codec="aac",
    packet_count=1407,
    packet_bytes=300_000,
    first_time_s=0.0,
    end_time_s=30.016,
)
SOURCE = MediaCensus(container="matroska", read_bytes=5_000, streams=(VIDEO, AUDIO), complete=True)
EXPECTED = (
    ExpectedStream(source_index=0, output_index=0, kind=StreamKind.VIDEO, copied=False),
    ExpectedStream(source_index=1, output_index=1, kind=StreamKind.AUDIO, copied=False),
)
COPIED = tuple(replace(e, copied=True) for e in EXPECTED)


def info(container: str = "matroska", duration_s: float | None = 30.0) -> MediaInfo:
    return MediaInfo(
        container=container,
        size_bytes=5_000,
        duration_s=duration_s,
        bit_rate=0,
        streams=(StreamInfo(index=0, kind=StreamKind.VIDEO, codec="h264", start_time_s=0.0),),
    )


def census(*streams: StreamCensus, container: str = "matroska") -> MediaCensus:
    return MediaCensus(container=container, read_bytes=0, streams=streams, complete=True)


def kinds(output: MediaCensus, expected: tuple[ExpectedStream, ...] = EXPECTED) -> list[str]:
    return [p.kind.value for p in check_output(SOURCE, output, expected)]


def test_a_whole_source_has_no_problem() -> None:
    assert check_source(info(), SOURCE, expected_bytes=5_000) == ()


def test_bytes_that_were_not_read_are_a_problem() -> None:
    (problem,) = check_source(info(), SOURCE, expected_bytes=5_001)
    assert problem.kind is ProblemKind.BYTES_MISSING
    assert "5000 of the source's 5001 bytes" in problem.message


def test_demuxing_that_broke_off_is_a_problem() -> None:
    broken = replace(SOURCE, complete=False, problem="3 packets are damaged")
    (problem,) = check_source(info(), broken, expected_bytes=5_000)
    assert problem.kind is ProblemKind.DEMUXING_BROKE


def test_a_source_that_ends_before_its_header_says_is_corrupt() -> None:
    half = replace(SOURCE, streams=(replace(VIDEO, end_time_s=15.0),))
    with pytest.raises(CorruptSourceError, match=r"ends at 15\.0 s.*promises 30\.0 s"):
        require_source(info(), half, expected_bytes=5_000)


def test_a_second_less_than_promised_is_tolerated() -> None:
    short = replace(SOURCE, streams=(replace(VIDEO, end_time_s=29.1),))
    assert check_source(info(), short, expected_bytes=5_000) == ()


@pytest.mark.parametrize(("container", "duration_s"), [("mpegts", 30.0), ("matroska", None)])
def test_what_promises_nothing_may_end_anywhere(container: str, duration_s: float | None) -> None:
    half = replace(SOURCE, streams=(replace(VIDEO, end_time_s=15.0),))
    assert check_source(info(container, duration_s), half, expected_bytes=5_000) == ()


def test_a_mov_promises_from_its_first_frame_on() -> None:
    late = MediaInfo(
        container="mov",
        size_bytes=5_000,
        duration_s=30.0,
        bit_rate=0,
        streams=(StreamInfo(index=0, kind=StreamKind.VIDEO, codec="h264", start_time_s=10.0),),
    )
    ends_at_30 = replace(SOURCE, container="mov")
    assert [p.kind for p in check_source(late, ends_at_30, expected_bytes=5_000)] == [
        ProblemKind.ENDS_EARLY
    ]


def test_an_output_like_its_source_has_no_problem() -> None:
    assert kinds(census(VIDEO, AUDIO)) == []
    require_output(SOURCE, census(VIDEO, AUDIO), EXPECTED)


def test_a_lost_frame_is_a_problem() -> None:
    assert kinds(census(replace(VIDEO, packet_count=749), AUDIO)) == ["frames_differ"]


def test_a_frame_that_an_edit_list_hides_is_not_expected() -> None:
    source = replace(SOURCE, streams=(replace(VIDEO, packet_count=752, hidden_count=2), AUDIO))
    assert check_output(source, census(VIDEO, AUDIO), EXPECTED) == ()


def test_a_copied_packet_may_not_get_lost() -> None:
    assert kinds(census(VIDEO, replace(AUDIO, packet_count=1406)), COPIED) == ["packets_differ"]


def test_a_missing_stream_is_a_problem() -> None:
    with pytest.raises(VerificationError, match=r"stream 1 \(audio\) is missing"):
        require_output(SOURCE, census(VIDEO), EXPECTED)


def test_a_stream_without_packets_is_missing() -> None:
    empty = replace(AUDIO, packet_count=0, first_time_s=None, end_time_s=None)
    assert kinds(census(VIDEO, empty)) == ["stream_missing"]


def test_a_stream_of_another_kind_is_missing() -> None:
    assert kinds(census(VIDEO, replace(VIDEO, index=1))) == ["stream_missing"]


def test_sound_may_end_within_a_frame_of_either_side() -> None:
    assert kinds(census(VIDEO, replace(AUDIO, end_time_s=30.016 + 0.04))) == []
    assert kinds(census(VIDEO, replace(AUDIO, end_time_s=30.016 + 0.06))) == ["end_differs"]


def test_times_are_counted_from_the_first_picture() -> None:
    shifted = census(
        replace(VIDEO, first_time_s=0.5, end_time_s=30.5),
        replace(AUDIO, first_time_s=0.5, end_time_s=30.516),
    )
    assert kinds(shifted) == []
    drifted = census(replace(VIDEO, first_time_s=0.5, end_time_s=30.5), AUDIO)
    assert kinds(drifted) == ["end_differs"]


def test_fields_and_hidden_frames_may_make_fewer_frames_than_packets() -> None:
    source = replace(SOURCE, container="mpegts")
    fewer = census(replace(VIDEO, packet_count=375), AUDIO)
    assert check_output(source, fewer, EXPECTED) == ()
    more = census(replace(VIDEO, packet_count=751), AUDIO)
    assert [p.kind.value for p in check_output(source, more, EXPECTED)] == ["frames_differ"]


def test_subtitles_have_to_be_there_whatever_their_number() -> None:
    subtitle = replace(AUDIO, kind=StreamKind.SUBTITLE, codec="subrip", packet_count=2)
    source = census(VIDEO, subtitle)
    wanted = (
        ExpectedStream(source_index=1, output_index=1, kind=StreamKind.SUBTITLE, copied=False),
    )
    assert check_output(source, census(VIDEO, replace(subtitle, packet_count=5)), wanted) == ()
    (problem,) = check_output(source, census(VIDEO, replace(subtitle, packet_count=0)), wanted)
    assert problem.kind is ProblemKind.STREAM_MISSING


def test_an_output_that_cannot_be_read_is_a_problem() -> None:
    broken = replace(census(VIDEO, AUDIO), complete=False, problem="broke off")
    assert kinds(broken) == ["demuxing_broke"]


def test_a_copy_may_show_what_an_edit_list_hid_and_no_more() -> None:
    hiding = replace(VIDEO, packet_count=775, hidden_count=25)  # 1 s before the first picture
    source = replace(SOURCE, streams=(hiding, AUDIO))
    video = replace(hiding, hidden_count=0, end_time_s=31.0)
    audio = replace(AUDIO, first_time_s=1.0, end_time_s=31.016)
    assert not check_output(source, census(video, audio), COPIED)
    later = replace(audio, end_time_s=31.2)
    assert [p.stream_index for p in check_output(source, census(video, later), COPIED)] == [1]
    assert check_output(source, census(video, replace(audio, end_time_s=29.5)), COPIED)
