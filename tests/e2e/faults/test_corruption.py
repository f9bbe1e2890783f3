"""A bit flips between client, storage and engine: found and mended, or refused; never handed on."""

import random
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import Clips

from benchmarks.corruption import Corrupting, Fate, flips
from benchmarks.load.media_plane import media_plane
from benchmarks.load.relay import Way

SEED = random.SystemRandom().randrange(10**6)


@pytest.fixture(scope="module")
def corrupting(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corrupting]:
    folder = tmp_path_factory.mktemp("plane")
    with media_plane(folder, relayed=True) as plane:
        made = Corrupting(plane, clips.long)
        made.measure_peace()
        yield made


def test_a_bit_that_flips_anywhere_harms_nothing(corrupting: Corrupting) -> None:
    found = list(flips(corrupting, places=6, seed=SEED))
    assert not [flip for flip in found if flip.fate is Fate.WRONG], f"seed {SEED}"
    assert [flip for flip in found if flip.fate is Fate.HEALED], f"seed {SEED}: {found}"


@pytest.mark.parametrize("way", Way)
@pytest.mark.timeout(300)
@pytest.mark.parametrize("offset", [3, 40, 700])
def test_nor_one_in_what_the_connection_begins_with(
    corrupting: Corrupting, way: Way, offset: int
) -> None:
    flip = corrupting.flip(way, offset, offset % 8)
    assert flip is not None
    assert flip.fate is not Fate.WRONG, flip
