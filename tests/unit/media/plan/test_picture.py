import pytest
from hypothesis import given
from hypothesis import strategies as st

from distconv.core.media import StreamInfo, StreamKind
from distconv.core.profile import VideoCodec, VideoSettings
from distconv.media.plan.picture import Size, fit, frame_rate, is_deep, threads_for, upright


def settings(width: int, height: int) -> VideoSettings:
    return VideoSettings(codec=VideoCodec.H264, max_width=width, max_height=height)


def stream(width: int, height: int, rotation: int = 0, rate: str = "") -> StreamInfo:
    return StreamInfo(
        index=0,
        kind=StreamKind.VIDEO,
        codec="h264",
        width=width,
        height=height,
        rotation_degrees=rotation,
        frame_rate=rate,
    )


@pytest.mark.parametrize(
    ("size", "box", "expected"),
    [
        (Size(1920, 1080), (1280, 720), Size(1280, 720)),
        (Size(640, 360), (1280, 720), Size(640, 360)),
        (Size(1080, 1920), (1280, 720), Size(720, 1280)),
        (Size(1920, 800), (1280, 720), Size(1280, 534)),
        (Size(720, 576), (854, 480), Size(600, 480)),
        (Size(4096, 1716), (3840, 2160), Size(3840, 1608)),
        (Size(641, 361), (0, 0), Size(640, 360)),
        (Size(1, 1), (0, 0), Size(2, 2)),
    ],
)
def test_fit(size: Size, box: tuple[int, int], expected: Size) -> None:
    assert fit(size, settings(*box)) == expected


@given(st.integers(2, 16_384), st.integers(2, 16_384), st.integers(16, 4096), st.integers(16, 4096))
def test_a_fit_is_even_within_the_box_and_never_larger(w: int, h: int, bw: int, bh: int) -> None:
    size = fit(Size(w, h), settings(bw, bh))
    if h > w:
        bw, bh = bh, bw
    assert size.width % 2 == size.height % 2 == 0
    assert size.width <= w
    assert size.height <= h
    assert size.width <= bw + 1  # an odd bound is rounded to the nearest even length
    assert size.height <= bh + 1


def test_a_turned_picture_is_measured_as_it_is_seen() -> None:
    assert upright(stream(1920, 1080, 90)) == Size(1080, 1920)
    assert upright(stream(1920, 1080, 180)) == Size(1920, 1080)


def test_threads_depend_on_the_picture_alone() -> None:
    sizes = [Size(320, 180), Size(1280, 720), Size(1920, 1080), Size(3840, 2160)]
    assert [threads_for(s) for s in sizes] == [4, 6, 8, 16]


@pytest.mark.parametrize(
    ("name", "deep"),
    [
        ("yuv420p", False),
        ("yuvj420p", False),
        ("nv12", False),
        ("yuv420p10le", True),
        ("p010le", True),
        ("gray12be", True),
        ("rgb48le", True),
        ("x2rgb10le", True),
        ("rgb24", False),
        ("", False),
    ],
)
def test_depth_is_read_from_the_name(name: str, deep: bool) -> None:
    assert is_deep(name) is deep


@pytest.mark.parametrize(
    ("text", "rate"), [("30000/1001", 29.97), ("25/1", 25.0), ("", 0.0), ("0/0", 0.0), ("x", 0.0)]
)
def test_frame_rate(text: str, rate: float) -> None:
    assert frame_rate(stream(2, 2, rate=text)) == pytest.approx(rate, abs=0.01)
