"""An engine that takes work, as placement sees it, and what it is worth for a task. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distconv.core.profile import VideoCodec
from distconv.core.speeds import Basis, EngineSpeeds
from distconv.core.work import memory_bytes
from distconv.dispatch.placement.matching import Matching, codec_of
from distconv.dispatch.store.records import TaskRecord
from distconv.dispatch.wording import size

# Others who keep every processor of an engine busy leave an encoder as many threads' turns as they
# take: half.
_FOREIGN_LOAD_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An engine that takes work, as placement sees it.

    `free_times` is when each busy slot is expected to be free, as far as that is
    known; sizes are bytes, those of memory 0 when unknown; `foreign_load` is what others
    keep busy of its processors, 0..1. Until
    `resort_time` it is a last resort, for `resort_reason`.
    """

    engine_id: str
    display_name: str
    matching: Matching
    slot_count: int
    free_slot_count: int
    free_times: tuple[datetime, ...] = ()
    speeds: EngineSpeeds = field(default_factory=EngineSpeeds)
    memory_bytes: int = 0
    memory_used_bytes: int = 0
    foreign_load: float = 0.0
    scratch_free_bytes: int = 0
    resort_time: datetime | None = None
    resort_reason: str = ""
    _fits: dict[tuple[str, int], "Fit | None"] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @property
    def name(self) -> str:
        """Return what people call it, with its id."""
        return f"{self.display_name} ({self.engine_id})"

    def fit(self, task: TaskRecord) -> "Fit | None":
        """Return what it is for a task's kind of work, None when it cannot do that.

        A thousand engines are asked at every look, most of which offer what they offered before.
        """
        kind = (task.requirement, task.height)
        if kind not in self._fits:
            self._fits[kind] = None if self.matching.missing(task.requirement) else _fit(task, self)
        return self._fits[kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """An engine for one kind of work.

    `unit_s` is how long it takes for a unit of it, seconds; `shortage` says what
    it has too little of, empty when nothing.
    """

    offer: Offer
    unit_s: float
    shortage: str

    @property
    def engine_id(self) -> str:
        """Return the engine's id."""
        return self.offer.engine_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long an engine is expected to take for a task, and what that rests on."""

    duration: timedelta
    basis: Basis


def satisfied(keys: Sequence[str], offers: Sequence[Offer]) -> list[str]:
    """Return the requirement sets that one of the offers meets."""
    return [key for key in keys if any(not offer.matching.missing(key) for offer in offers)]


def estimated(task: TaskRecord, offer: Offer) -> Estimate:
    """Return how long an engine is expected to take for a task."""
    speed = offer.speeds.of(codec_of(task.requirement), task.height)
    return Estimate(duration=speed.time_for(task.cost) / _share(offer), basis=speed.basis)


def _fit(task: TaskRecord, offer: Offer) -> Fit:
    speed = offer.speeds.of(codec_of(task.requirement), task.height)
    return Fit(
        offer=offer,
        unit_s=1 / (max(speed.units_per_s, 1e-6) * _share(offer)),
        shortage=_shortage(task, offer),
    )


def _shortage(task: TaskRecord, offer: Offer) -> str:
    codec: VideoCodec | None = codec_of(task.requirement)
    if not offer.memory_bytes or codec is None:
        return ""
    needed = memory_bytes(codec, task.height)
    there = max(offer.memory_bytes - offer.memory_used_bytes, 0)
    if needed <= there:
        return ""
    return f"it needs about {size(needed)} of memory and {size(there)} are free there"


def _share(offer: Offer) -> float:
    """Return how much of an engine's speed is left for one more attempt, 0..1."""
    if offer.free_slot_count == offer.slot_count:
        return 1 - _FOREIGN_LOAD_SHARE * min(offer.foreign_load, 1.0)
    return 1.0


def objection(task: TaskRecord, offer: Offer, now: datetime) -> str:
    """Return why an engine that could do a task is a last resort for it; empty: it is none."""
    if offer.engine_id in task.avoided_engine_ids:
        return "an attempt at it failed there"
    return kind_objection(task, offer, now)


def kind_objection(task: TaskRecord, offer: Offer, now: datetime) -> str:
    """Return why an engine is a last resort for all work of a task's kind; empty: it is none."""
    if offer.resort_time is not None and now < offer.resort_time:
        return offer.resort_reason
    fit = offer.fit(task)
    return fit.shortage if fit is not None else ""
