"""Real clips through the whole system: nothing is lost on the way."""

import os
from pathlib import Path

import av
import pytest
from tests.e2e.conftest import Up, dcctl

pytestmark = pytest.mark.media

CLIPS = ["book.mkv", "bottle-detection.mp4", "car-detection.mp4"]
AAC_FRAME_S = 1024 / 48_000


@pytest.fixture(params=CLIPS)
def clip(request: pytest.FixtureRequest) -> Path:
    folder = os.environ.get("DISTCONV_TEST_MEDIA")
    if not folder:
        pytest.skip("DISTCONV_TEST_MEDIA names no folder of real clips")
    return Path(folder, request.param)


def frame_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def sound_against_picture(path: Path) -> tuple[float, float] | None:
    """Return by how much the sound begins and ends after the picture, as decoded, seconds."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return None
        pictures = [f.time or 0.0 for f in container.decode(video=0)]
    with av.open(str(path)) as container:
        sounds = [(f.time or 0.0, f.samples / f.sample_rate) for f in container.decode(audio=0)]
    return sounds[0][0] - pictures[0], sum(sounds[-1]) - pictures[-1]


def top_level_boxes(path: Path) -> list[str]:
    data, offset, found = path.read_bytes(), 0, []
    while offset < len(data):
        size = int.from_bytes(data[offset : offset + 4], "big")
        found.append(data[offset + 4 : offset + 8].decode("latin-1"))
        assert size >= 8
        offset += size
    return found


@pytest.mark.parametrize(("profile", "ending"), [("h264-720p", "mp4"), ("hevc", "mkv")])
def test_every_frame_and_the_sound_in_step(
    farm: Up, clip: Path, tmp_path: Path, profile: str, ending: str
) -> None:
    out = tmp_path / f"out.{ending}"
    done = dcctl("transcode", clip, "-o", out, "-p", profile, "--server", farm.address)
    assert done.returncode == 0, done.stderr
    assert frame_count(out) == frame_count(clip)
    before, after = sound_against_picture(clip), sound_against_picture(out)
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert abs(before[0] - after[0]) <= AAC_FRAME_S
        assert abs(before[1] - after[1]) <= AAC_FRAME_S
    if ending == "mp4":
        boxes = top_level_boxes(out)
        assert boxes.index("moov") < boxes.index("mdat")
        assert "moof" not in boxes
