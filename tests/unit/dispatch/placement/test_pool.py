from hypothesis import given
from hypothesis import strategies as st

from distconv.core.engine import EngineCapabilities
from distconv.dispatch.placement.matching import Matching
from distconv.dispatch.placement.offer import Fit, Offer
from distconv.dispatch.placement.pool import Pool

SLOTS = 3
NAMES = "abcdefgh"


def fit(name: str, unit_s: float) -> Fit:
    offer = Offer(
        engine_id=name,
        display_name=name,
        matching=Matching(EngineCapabilities(), engine_id=name),
        slot_count=SLOTS,
        free_slot_count=SLOTS,
    )
    return Fit(offer=offer, unit_s=unit_s, shortage="")


@given(
    speeds=st.lists(st.sampled_from([0.5, 1.0, 2.0, 9.0]), min_size=1, max_size=len(NAMES)),
    limits=st.lists(st.floats(1.0, 20.0), max_size=30),
    skipped=st.frozensets(st.sampled_from(NAMES)),
)
def test_it_answers_as_a_look_at_every_engine_would(
    speeds: list[float], limits: list[float], skipped: frozenset[str]
) -> None:
    fits = {name: fit(name, speed) for name, speed in zip(NAMES, speeds, strict=False)}
    left = dict.fromkeys(fits, SLOTS)
    pool = Pool.of((one, 0.0) for one in fits.values())
    for factor in limits:
        there = {name: fits[name].unit_s for name in fits if left[name]}
        assert pool.fits.keys() == there.keys()
        if not there:
            break
        assert (pool.fastest_s, pool.slowest_s) == (min(there.values()), max(there.values()))
        limit = pool.fastest_s * factor
        near = [name for name in there if there[name] <= limit]
        best = min(near, key=lambda name: (-left[name], name))
        assert pool.least_busy(within_s=limit).engine_id == best
        assert pool.without(skipped).fits.keys() == there.keys() - skipped
        before = 1 - left[best] / SLOTS
        left[best] -= 1
        pool.fill(best, before=before, load=1 - left[best] / SLOTS)


def test_two_are_joined() -> None:
    slow, fast = Pool.of([(fit("a", 4.0), 0.5)]), Pool.of([(fit("b", 1.0), 0.0)])
    both = slow.joined(fast)
    assert (both.fastest_s, both.slowest_s, len(both)) == (1.0, 4.0, 2)
    assert both.least_busy(within_s=4.0).engine_id == "b"
    assert slow.joined(Pool()) is slow
