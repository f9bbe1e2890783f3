"""The free engines that can do one kind of work, kept in order as a round fills them. Pure.

A task is compared with a thousand engines in the time of a few look-ups: how fast
each is at this kind of work is worked out once a round, not once a task.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from distconv.dispatch.placement.offer import Fit


@dataclass(slots=True)
class Pool:
    """Free engines, the fastest and the least busy at hand."""

    fits: dict[str, Fit] = field(default_factory=dict)
    _by_speed: list[tuple[float, str]] = field(default_factory=list)
    _by_load: list[tuple[float, str]] = field(default_factory=list)

    @classmethod
    def of(cls, fits: Iterable[tuple[Fit, float]]) -> "Pool":
        """Make one of engines and the share of each that is busy, 0..1."""
        pool = cls()
        for fit, load in fits:
            pool.fits[fit.engine_id] = fit
            pool._by_speed.append((fit.unit_s, fit.engine_id))
            pool._by_load.append((load, fit.engine_id))
        pool._by_speed.sort()
        pool._by_load.sort()
        return pool

    def __len__(self) -> int:
        """Count the engines."""
        return len(self.fits)

    @property
    def fastest_s(self) -> float:
        """Return what the fastest takes for a unit, seconds."""
        return self._by_speed[0][0]

    @property
    def slowest_s(self) -> float:
        """Return what the slowest takes for a unit, seconds."""
        return self._by_speed[-1][0]

    def least_busy(self, *, within_s: float) -> Fit:
        """Return the least busy of those that take no longer than `within_s` for a unit."""
        # The fastest is within.
        return next(fit for fit, _ in self.loads() if fit.unit_s <= within_s)

    def fill(self, engine_id: str, *, before: float, load: float) -> None:
        """Note that an engine is busier than before, or full: 1."""
        fit = self.fits.get(engine_id)
        if fit is None:
            return
        del self._by_load[bisect_left(self._by_load, (before, engine_id))]
        if load < 1:
            insort(self._by_load, (load, engine_id))
        else:
            del self._by_speed[bisect_left(self._by_speed, (fit.unit_s, engine_id))]
            del self.fits[engine_id]

    def without(self, engine_ids: AbstractSet[str]) -> "Pool":
        """Return the pool without some engines."""
        if not engine_ids & self.fits.keys():
            return self
        return Pool.of(pair for pair in self.loads() if pair[0].engine_id not in engine_ids)

    def joined(self, other: "Pool") -> "Pool":
        """Return a pool of both."""
        if not other.fits:
            return self
        return Pool.of([*self.loads(), *other.loads()])

    def loads(self) -> Iterator[tuple[Fit, float]]:
        """Yield every engine with its load, the least busy first."""
        return ((self.fits[engine_id], load) for load, engine_id in self._by_load)
