"""Client, storage and engine die in the middle of transfers: they end right all the same.

And little is sent twice. Neither chunks nor credit can have grown within so small a file.
"""

import random
from collections.abc import Iterator

import pytest
from tests.e2e.conftest import Clips

from benchmarks.load.media_plane import media_plane
from benchmarks.resume import (
    VICTIMS,
    Dying,
    Transfer,
    Victim,
    bar_bytes,
    fixed_costs,
)
from distconv.rpc.limits import CHUNK_BYTES

SEED = random.SystemRandom().randrange(10**6)
# What two transfers of the same bytes differ by: words of windows and pings.
_HTTP2_BYTES = 8 * 1024
CASES = [(transfer, victim) for transfer in Transfer for victim in VICTIMS[transfer]]


@pytest.fixture(scope="module")
def dying(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dying]:
    with media_plane(tmp_path_factory.mktemp("plane"), relayed=True) as plane:
        made = Dying(plane, clips.long, fixed_costs(plane))
        made.measure_peace(*Transfer)
        yield made


@pytest.mark.parametrize(("transfer", "victim"), CASES)
def test_a_transfer_in_which_one_dies_ends_right(
    dying: Dying, transfer: Transfer, victim: Victim
) -> None:
    randomness = random.Random(SEED)  # noqa: S311  # guards nothing
    death = dying.die(transfer, victim, *dying.draw(transfer, randomness))
    assert death.intact, f"seed {SEED}: {death}"
    if victim is not Victim.ENGINE:  # an engine's attempt is made again
        bound = bar_bytes(transfer, victim, client_chunk_bytes=CHUNK_BYTES) + _HTTP2_BYTES
        assert death.again_bytes <= bound, f"seed {SEED}: {death}"
