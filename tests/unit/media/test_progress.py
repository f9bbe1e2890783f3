import itertools

from hypothesis import given
from hypothesis import strategies as st

from distconv.media.progress import Progress, ProgressParser

BLOCK = (
    b"frame=125\nfps=49.87\nstream_0_0_q=28.0\nbitrate= 600.1kbits/s\ntotal_size=262144\n"
    b"out_time_us=4960000\nout_time_ms=4960000\nout_time=00:00:04.960000\ndup_frames=0\n"
    b"drop_frames=0\nspeed=1.98x\nprogress=continue\n"
)
REPORT = Progress(frame=125, fps=49.87, speed=1.98, out_time_s=4.96, total_size_bytes=262144)


def test_a_block_becomes_a_report() -> None:
    assert ProgressParser().feed(BLOCK) == [REPORT]


def test_nothing_known_yet_is_nothing() -> None:
    block = b"total_size=N/A\nout_time_us=N/A\nspeed=N/A\nprogress=end\n"
    assert ProgressParser().feed(block) == [Progress(ended=True)]


@given(cuts=st.lists(st.integers(0, 3 * len(BLOCK)), max_size=20))
def test_the_cuts_between_reads_do_not_matter(cuts: list[int]) -> None:
    data, parser = BLOCK * 3, ProgressParser()
    places = [0, *sorted(cuts), len(data)]
    found = [r for a, b in itertools.pairwise(places) for r in parser.feed(data[a:b])]
    assert found == [REPORT] * 3


@given(st.binary(max_size=2000))
def test_any_bytes_are_taken(data: bytes) -> None:
    parser = ProgressParser()
    parser.feed(data)
    assert parser.feed(b"\n" + BLOCK)[-1].frame == 125


def test_numbers_beyond_all_bounds_count_as_unknown() -> None:
    (report,) = ProgressParser().feed(b"frame=1e999\nspeed=infx\nprogress=continue\n")
    assert (report.frame, report.speed) == (0, 0.0)
