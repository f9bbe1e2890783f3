"""Choose which engine gets which task, by when it would be done. Pure.

A task goes to the free engine that finishes it soonest. A large one is held back
when an engine that is busy would still finish it sooner, once it is free (after
list scheduling by earliest finish time: H. Topcuoglu et al., "Performance-effective
and low-complexity task scheduling for heterogeneous computing", IEEE TPDS 13(3),
2002); its place in the order of fairness stays its own, and others pass by.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from distconv.core.durations import about
from distconv.dispatch.placement.matching import scratch_of
from distconv.dispatch.placement.offer import (
    Estimate,
    Fit,
    Offer,
    estimated,
    kind_objection,
    objection,
)
from distconv.dispatch.placement.pool import Pool
from distconv.dispatch.store.records import TaskRecord
from distconv.dispatch.wording import clock, count

# Estimates closer than this are no reason to prefer one engine to another.
_NEAR_FACTOR = 1.15
_NEAR_SPAN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacementPolicy:
    """When a task is held back.

    Only one that would take `hold_min` or more, for an engine that saves at least
    `hold_saving` (0..1) of that, and never longer than `hold_max` since it became
    ready. `hold_max` bounds too how long it waits for an engine on which it did
    not fail before.
    """

    hold_min: timedelta = timedelta(seconds=30)
    hold_max: timedelta = timedelta(seconds=600)
    hold_saving: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A task, the engine it goes to, and why, for people; `estimate` when one was measured.

    `scratch_free_bytes` is what of the engine's scratch disk no attempt has.
    """

    task: TaskRecord
    engine_id: str
    decision: str
    estimate: timedelta | None = None
    scratch_free_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A task that waits for a better engine than the free ones, until about when, and why."""

    task_id: str
    engine_id: str
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """What came of a round of placement."""

    placements: Sequence[Placement]
    holds: Sequence[Hold]


def place(
    tasks: Sequence[TaskRecord],
    offers: Sequence[Offer],
    *,
    now: datetime,
    busy: Callable[[], Sequence[Offer]] = tuple,
    policy: PlacementPolicy | None = None,
) -> Placed:
    """Place tasks in the order given on `offers`, which have a free slot.

    `busy` returns the engines that take work and have none; it is asked only when
    a task might wait for one.
    """
    return _Round(offers, busy, policy or PlacementPolicy(), now).run(tasks)


@dataclass(slots=True)
class _Candidate:
    offer: Offer
    estimate: Estimate
    objection: str


@dataclass(frozen=True, slots=True)
class _Pools:
    """The free engines for one kind of work: without and with an objection to them."""

    good: Pool
    poor: Pool

    def __len__(self) -> int:
        return len(self.good) + len(self.poor)

    def best(self, avoided: Sequence[str]) -> Pool:
        """Return those without objection; where it failed before comes after every other."""
        skipped = frozenset(avoided)
        good = self.good.without(skipped)
        return good or self.poor.without(skipped) or self.good.joined(self.poor)

    def fill(self, engine_id: str, *, before: float, load: float) -> None:
        self.good.fill(engine_id, before=before, load=load)
        self.poor.fill(engine_id, before=before, load=load)


class _Round:
    """One round: what is left of each engine as tasks are placed."""

    def __init__(
        self,
        offers: Sequence[Offer],
        busy: Callable[[], Sequence[Offer]],
        policy: PlacementPolicy,
        now: datetime,
    ) -> None:
        self._offers = offers
        self._ask_busy = busy
        self._busy: Sequence[Offer] | None = None
        self._policy = policy
        self._now = now
        self._left = {offer.engine_id: offer.free_slot_count for offer in offers}
        self._slots_left = sum(self._left.values())
        self._scratch_left = {offer.engine_id: offer.scratch_free_bytes for offer in offers}
        self._times: dict[str, list[datetime]] = {}
        self._kinds: dict[tuple[str, int], _Pools] = {}

    def run(self, tasks: Sequence[TaskRecord]) -> Placed:
        placements, holds = [], []
        for task in tasks:
            if not self._slots_left:
                break
            free = self._pools(task)
            if not free:
                continue
            best, reason = self._choose(task, free)
            hold = self._hold(task, best)
            if hold is not None:
                holds.append(hold)
                continue
            scratch_free = self._scratch_left[best.offer.engine_id]
            self._take(task, best)
            measured = best.estimate.basis.is_measured
            placements.append(
                Placement(
                    task=task,
                    engine_id=best.offer.engine_id,
                    decision=_sentence(best, reason),
                    estimate=best.estimate.duration if measured else None,
                    scratch_free_bytes=scratch_free,
                )
            )
        return Placed(placements=placements, holds=holds)

    def _pools(self, task: TaskRecord) -> _Pools:
        """Return the free engines that can do a task's kind of work."""
        kind = (task.requirement, task.height)
        pools = self._kinds.get(kind)
        if pools is None:
            good: list[tuple[Fit, float]] = []
            poor: list[tuple[Fit, float]] = []
            scratch = scratch_of(task.requirement)
            for offer in self._offers:
                if self._scratch_left[offer.engine_id] < scratch:
                    continue  # until an attempt there gives some back
                fit = offer.fit(task) if self._left[offer.engine_id] else None
                if fit is not None:
                    against = kind_objection(task, offer, self._now)
                    (poor if against else good).append((fit, self._load(offer)))
            pools = self._kinds[kind] = _Pools(Pool.of(good), Pool.of(poor))
        return pools

    def _load(self, offer: Offer) -> float:
        return 1 - self._left[offer.engine_id] / offer.slot_count

    def _candidate(self, task: TaskRecord, offer: Offer) -> _Candidate:
        return _Candidate(offer, estimated(task, offer), objection(task, offer, self._now))

    def _choose(self, task: TaskRecord, free: _Pools) -> tuple[_Candidate, str]:
        """Return the best of the free engines and what speaks for it."""
        good = free.best(task.avoided_engine_ids)
        enough_s = good.fastest_s * _NEAR_FACTOR
        if task.cost:
            enough_s = max(enough_s, good.fastest_s + _NEAR_SPAN_S / task.cost)
        else:
            enough_s = good.slowest_s
        preferred = good.fits.get(task.preferred_engine_id)
        if preferred is None or preferred.unit_s > enough_s:
            preferred = good.least_busy(within_s=enough_s)
        best = self._candidate(task, preferred.offer)
        return best, _why(task, best, free=len(free), all_near=good.slowest_s <= enough_s)

    def _take(self, task: TaskRecord, best: _Candidate) -> None:
        offer = best.offer
        if scratch := scratch_of(task.requirement):
            self._scratch_left[offer.engine_id] -= scratch
            # Where there is room left is looked at anew.
            self._kinds = {k: pools for k, pools in self._kinds.items() if not scratch_of(k[0])}
        before = self._load(offer)
        self._left[offer.engine_id] -= 1
        self._slots_left -= 1
        for pools in self._kinds.values():
            pools.fill(offer.engine_id, before=before, load=self._load(offer))
        self._expected(offer).append(self._now + best.estimate.duration)

    def _expected(self, offer: Offer) -> list[datetime]:
        """Return when the slots of an engine are expected to be free, to be changed."""
        return self._times.setdefault(offer.engine_id, list(offer.free_times))

    def _hold(self, task: TaskRecord, best: _Candidate) -> Hold | None:
        waited = self._now - (task.ready_time or task.update_time)
        if waited >= self._policy.hold_max:
            return None
        if best.objection:
            return self._hold_for_another(task, best, self._policy.hold_max - waited)
        if best.estimate.duration < self._policy.hold_min or not best.estimate.basis.is_measured:
            return None
        return self._hold_for_faster(task, best)

    def _hold_for_another(
        self, task: TaskRecord, best: _Candidate, longest: timedelta
    ) -> Hold | None:
        """Hold a task back while an engine takes work to which there is no objection."""
        for offer in self._without_slot():
            if offer.matching.missing(task.requirement) or objection(task, offer, self._now):
                continue
            until = min([self._now + longest, *self._expected(offer)])
            return Hold(
                task_id=task.id,
                engine_id=offer.engine_id,
                until=until,
                reason=f"{best.offer.name} has a free slot, but {best.objection}; held back for "
                f"another such as {offer.name}, at most until {clock(self._now + longest)}",
            )
        return None

    def _hold_for_faster(self, task: TaskRecord, best: _Candidate) -> Hold | None:
        """Hold a task back for a busy engine that finishes it sooner; its slot is spoken for."""
        limit = self._now + best.estimate.duration * (1 - self._policy.hold_saving)
        chosen: tuple[datetime, datetime, Offer] | None = None
        for offer in self._without_slot():
            times = self._expected(offer)
            if len(times) < offer.slot_count or offer.matching.missing(task.requirement):
                continue  # when it is free is not known
            candidate = self._candidate(task, offer)
            if candidate.objection or not candidate.estimate.basis.is_measured:
                continue
            free_time = max(min(times), self._now)
            done_time = free_time + candidate.estimate.duration
            if done_time < limit:
                chosen, limit = (done_time, free_time, offer), done_time
        if chosen is None:
            return None
        done_time, free_time, offer = chosen
        times = self._expected(offer)
        times.remove(min(times))
        times.append(done_time)
        alone = self._now + best.estimate.duration
        return Hold(
            task_id=task.id,
            engine_id=offer.engine_id,
            until=free_time,
            reason=f"held back for {offer.name}, which is expected to be free at "
            f"{clock(free_time)} and done at {clock(done_time)}; "
            f"{best.offer.name} is free now but would need until {clock(alone)}",
        )

    def _without_slot(self) -> list[Offer]:
        if self._busy is None:
            self._busy = self._ask_busy()
        full = [offer for offer in self._offers if not self._left[offer.engine_id]]
        return [*self._busy, *full]


def _why(task: TaskRecord, best: _Candidate, *, free: int, all_near: bool) -> str:
    there = f"{count(free, 'engine')} with a free slot that {_meet(free)} it"
    if free == 1:
        reason = "the one engine with a free slot that meets it"
    elif not all_near:
        reason = f"done soonest of {there}"
    elif best.offer.engine_id == task.preferred_engine_id:
        reason = f"it probed the source; one of {there}"
    else:
        reason = f"the least busy of {there}"
    if task.avoided_engine_ids and best.offer.engine_id not in task.avoided_engine_ids:
        reason += "; an attempt failed elsewhere"
    return reason


def _meet(number: int) -> str:
    return "meets" if number == 1 else "meet"


def _sentence(best: _Candidate, reason: str) -> str:
    although = f", although {best.objection}" if best.objection else ""
    lasts = ""
    if best.estimate.basis.is_measured:
        lasts = f"; {about(best.estimate.duration)} by {best.estimate.basis.value}"
    return f"{best.offer.name}: {reason}{although}{lasts}"
