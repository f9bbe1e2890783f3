"""Ranks share a farm by weight, let newcomers in at once, and never lose anybody."""

import heapq
import random
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from distconv.core import fair_queue
from distconv.core.fair_queue import charge, refund

WEIGHTS = {"one": 1.0, "two": 2.0, "four": 4.0}
COSTS = st.floats(min_value=1.0, max_value=1000.0)
RANKS = st.floats(min_value=0.0, max_value=1e12)


class Queue:
    """What dispatch does with ranks, in a heap."""

    def __init__(self) -> None:
        self.finish: dict[str, float] = {}
        self.virtual_time = 0.0
        self.heap: list[tuple[float, int, str, float]] = []
        self._count = 0

    def add(self, tenant: str, cost: float, weight: float = 1.0) -> None:
        charged = charge(
            virtual_time=self.virtual_time,
            finish_rank=self.finish.get(tenant, 0.0),
            cost=cost,
            weight=weight,
        )
        self.finish[tenant] = charged.finish_rank
        self._count += 1
        heapq.heappush(self.heap, (charged.rank, self._count, tenant, cost))

    def take(self) -> tuple[str, float]:
        rank, _, tenant, cost = heapq.heappop(self.heap)
        self.virtual_time = fair_queue.advance(claimed_rank=self.virtual_time, rank=rank)
        return tenant, cost


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1 << 32), st.sampled_from([(1, 1), (1, 5), (10, 10)]))
def test_tenants_under_saturation_get_shares_by_weight(seed: int, spread: tuple[int, int]) -> None:
    queue, rng = Queue(), random.Random(seed)  # noqa: S311  # a schedule, no secret
    order = [tenant for tenant in WEIGHTS for _ in range(2500)]
    rng.shuffle(order)
    for tenant in order:
        queue.add(tenant, rng.uniform(*spread), WEIGHTS[tenant])
    served: Counter[str] = Counter()
    for _ in range(3500):
        tenant, cost = queue.take()
        served[tenant] += cost  # type: ignore[assignment]  # a counter of units
    total = sum(served.values())
    for tenant, weight in WEIGHTS.items():
        assert abs(served[tenant] / total - weight / 7) < 0.05 * weight / 7


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), COSTS), min_size=1, max_size=200))
def test_two_tenants_with_work_never_drift_apart(orders: list[tuple[str, float]]) -> None:
    # Goyal et al., theorem 1: |served(f) - served(g)| ≤ max cost of f + max cost of g (weights 1).
    queue = Queue()
    waiting: Counter[str] = Counter()
    largest: dict[str, float] = {}
    for tenant, cost in orders:
        queue.add(tenant, cost)
        waiting[tenant] += 1
        largest[tenant] = max(cost, largest.get(tenant, 0.0))
    served = dict.fromkeys(largest, 0.0)
    while all(waiting.values()):
        tenant, cost = queue.take()
        served[tenant] += cost
        waiting[tenant] -= 1
        for one in served:
            for other in served:
                bound = largest[one] + largest[other]
                assert abs(served[one] - served[other]) <= bound * (1 + 1e-9)


def test_a_newcomer_behind_a_backlog_is_next() -> None:
    queue = Queue()
    for _ in range(100_000):
        queue.add("hoarder", 10.0)
    for _ in range(500):
        queue.take()
    queue.add("newcomer", 10.0)
    # One of the hoarder's may share the newcomer's rank; nothing else comes before it.
    assert "newcomer" in {queue.take()[0], queue.take()[0]}


def test_an_idle_tenant_saves_nothing_up() -> None:
    queue = Queue()
    queue.add("sleeper", 1.0)
    queue.take()
    for _ in range(1000):
        queue.add("worker", 1.0)
        queue.take()
    for _ in range(100):
        queue.add("sleeper", 1.0)
        queue.add("worker", 1.0)
    first = Counter(queue.take()[0] for _ in range(100))
    assert abs(first["sleeper"] - first["worker"]) <= 2


@given(RANKS, RANKS, COSTS, st.floats(min_value=0.01, max_value=100.0))
def test_a_charge_never_goes_back_and_a_refund_undoes_it(
    virtual_time: float, finish: float, cost: float, weight: float
) -> None:
    charged = charge(virtual_time=virtual_time, finish_rank=finish, cost=cost, weight=weight)
    assert charged.rank >= virtual_time
    assert charged.rank >= finish
    assert charged.finish_rank > charged.rank
    back = refund(finish_rank=charged.finish_rank, cost=cost, weight=weight)
    assert back == max(back, 0.0)
    assert abs(back - charged.rank) <= 1e-3 + charged.rank * 1e-9


@given(st.floats(min_value=0.0, max_value=1.0), st.floats(min_value=-1.0, max_value=1e-6))
def test_nothing_is_free_and_no_weight_is_nothing(cost: float, weight: float) -> None:
    charged = charge(virtual_time=5.0, finish_rank=0.0, cost=cost, weight=weight)
    assert charged.rank == 5.0
    assert charged.finish_rank - charged.rank >= 1.0
