"""Where the bytes of a staging in a bucket lie, against a plain model."""

from hypothesis import given
from hypothesis import strategies as st

from distconv.core.ranges import RangeSet
from distconv.storage.providers.object_layout import Layout, Part, Segment

SIZE = 64
CONTENT = bytes(range(1, SIZE + 1))

_range = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 20)).map(
    lambda pair: (pair[0], min(pair[0] + pair[1], SIZE))
)
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("hold"), _range),
        st.tuples(st.just("found"), _range),
        st.tuples(st.just("sync"), st.integers(1, 30)),
        st.tuples(st.just("drop"), st.none()),
    ),
    max_size=30,
)


def _content(part: Part) -> bytes:
    # A segment's name says what it holds: the bytes of the content that lie there.
    return CONTENT[part.start : part.end] if part.data is None else part.data


@given(_steps)
def test_whatever_is_held_found_stored_and_lost_reads_as_what_was_written(steps) -> None:
    layout, held, stored = Layout(), RangeSet(), RangeSet()
    for step, value in steps:
        if step == "hold":
            layout.hold([(value[0], CONTENT[value[0] : value[1]])])
            for gap in list(stored.gaps(*value)):
                held.add(*gap)
        elif step == "found":
            layout.found(Segment(start=value[0], end=value[1]))
            for gap in list(held.gaps(*value)):
                stored.add(*gap)
        elif step == "sync":
            for run in layout.runs([(0, SIZE)], value):
                segment = Segment(start=run[0].start, end=run[-1].end)
                data = b"".join(_content(part) for part in run)
                assert data == CONTENT[segment.start : segment.end]
                assert len(run) == 1 or len(data) <= value
                layout.stored(segment)
            stored.update(held)
            held = RangeSet()
        else:
            layout.drop_held()
            held = RangeSet()
    known = held.copy()
    known.update(stored)
    for start in range(SIZE):
        read = b"".join(_content(part) for part in layout.parts(start, SIZE))
        assert read == CONTENT[start : known.end_of_run(start)]
    assert list(layout.parts(SIZE, SIZE + 5)) == []


@given(_range)
def test_a_segment_is_found_by_its_name(span) -> None:
    segment = Segment(start=span[0], end=span[1])
    assert Segment.parse(segment.name) == segment


def test_other_names_are_no_segments() -> None:
    for name in ("open", "", "-", "0-1", f"{5:016x}-{5:016x}", f"{9:016x}-{5:016x}", "x" * 33):
        assert Segment.parse(name) is None
