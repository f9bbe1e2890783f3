"""Choose which engine gets which task. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from distconv.core.engine import EngineCapabilities
from distconv.core.requirements import Requirements
from distconv.dispatch.store.records import TaskRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An engine that takes work now."""

    engine_id: str
    display_name: str
    capabilities: EngineCapabilities
    slot_count: int
    free_slot_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A task, the engine it goes to, and why, for people."""

    task: TaskRecord
    engine_id: str
    decision: str


def satisfied(keys: Sequence[str], offers: Sequence[Offer]) -> list[str]:
    """Return the requirement sets that one of the offers meets."""
    return [key for key in keys if any(_fits(key, offer) for offer in offers)]


def place(tasks: Sequence[TaskRecord], offers: Sequence[Offer]) -> list[Placement]:
    """Place tasks in the order given, each on the best engine that has a slot left."""
    free = {offer.engine_id: offer.free_slot_count for offer in offers}
    placements = []
    for task in tasks:
        fitting = [o for o in offers if free[o.engine_id] > 0 and _fits(task.requirement, o)]
        if not fitting:
            continue
        best = min(fitting, key=lambda offer: _rank(task, offer, free[offer.engine_id]))
        free[best.engine_id] -= 1
        placements.append(
            Placement(task=task, engine_id=best.engine_id, decision=_why(task, best, len(fitting)))
        )
    return placements


def _fits(key: str, offer: Offer) -> bool:
    return not Requirements.of_key(key).missing_from(offer.capabilities, engine_id=offer.engine_id)


def _rank(task: TaskRecord, offer: Offer, free: int) -> tuple[bool, bool, float, str]:
    busy = 1 - free / offer.slot_count
    return (
        offer.engine_id in task.avoided_engine_ids,
        offer.engine_id != task.preferred_engine_id,
        busy,
        offer.engine_id,
    )


def _why(task: TaskRecord, offer: Offer, fitting_count: int) -> str:
    name = f"{offer.display_name} ({offer.engine_id})"
    if fitting_count == 1:
        reason = "the one engine with a free slot that meets it"
        if offer.engine_id in task.avoided_engine_ids:
            reason += ", although an attempt failed there"
    elif offer.engine_id == task.preferred_engine_id:
        reason = f"it probed the source; {fitting_count} engines had a free slot"
    elif task.avoided_engine_ids and offer.engine_id not in task.avoided_engine_ids:
        reason = f"an attempt failed elsewhere; {fitting_count} engines had a free slot"
    else:
        reason = f"the least busy of {fitting_count} engines with a free slot"
    return f"{name}: {reason}"
