"""Give ready tasks to free engines, woken by events: a job, an engine, a slot, a retry."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from distconv.core.attempt_states import AttemptEvent
from distconv.core.clock import Clock
from distconv.dispatch.lifecycle.leasing import Claim, Leasing
from distconv.dispatch.placement.choice import Hold, Placed, place
from distconv.dispatch.placement.offer import Offer, satisfied
from distconv.dispatch.placement.policy import SchedulingPolicy
from distconv.dispatch.scheduling.assigning import Assigning
from distconv.dispatch.scheduling.heads import next_tasks
from distconv.dispatch.scheduling.offers import busy_offers, free_offers
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.store.port import Store

_log = structlog.get_logger()

# Of each line so many more heads are read than slots are free: some may be held back.
_SPARE_HEADS = 8
# When all of them are held back, so many times more are read, up to the most of one look.
_MORE_HEADS = 4
_MOST_HEADS = 1000
# Free slots are filled in goes of so many: what is claimed is sent before more is claimed.
_MOST_SLOTS = 256
# Another replica took everything that was placed: look again so much later.
_AFTER_LOSING = timedelta(milliseconds=50)
# A task that is held back is looked at again when its engine should be free, not sooner than this.
_LEAST_HOLD = timedelta(seconds=1)
_NOTHING = Placed(placements=(), holds=())


class Scheduler:
    """Place, claim and assign until nothing more fits."""

    name = "scheduler"

    def __init__(
        self,
        *,
        store: Store,
        leasing: Leasing,
        hub: SessionHub,
        assigning: Assigning,
        clock: Clock,
        policy: SchedulingPolicy,
        on_pass: Callable[[], None],
    ) -> None:
        """`on_pass` is called after every run: why jobs wait may have changed."""
        self._store = store
        self._leasing = leasing
        self._hub = hub
        self._assigning = assigning
        self._clock = clock
        self._policy = policy
        self._on_pass = on_pass
        self._holds: Mapping[str, Hold] = {}

    def hold(self, task_id: str) -> Hold | None:
        """Return why a task was held back when it was last looked at; None when it was not."""
        return self._holds.get(task_id)

    async def run(self) -> datetime | None:
        """Assign what can be assigned now; return when to look again without an event."""
        while True:
            again, lost = await self._pass()
            if not again:
                break
        self._on_pass()
        now = self._clock.now()
        if lost:
            return now + _AFTER_LOSING
        if not self._holds or not self._free(now):
            return None  # a slot that becomes free is an event
        return max(min(hold.until for hold in self._holds.values()), now + _LEAST_HOLD)

    async def _pass(self) -> tuple[bool, int]:
        """Tell whether another pass may place more, and how many tasks someone else took first.

        What becomes ready or free meanwhile is an event, and needs no other look here.
        """
        now = self._clock.now()
        offers = self._free(now)
        placed, is_all = await self._place(offers, now) if offers else (_NOTHING, True)
        self._note_holds(placed.holds, looked=bool(offers))
        placements = [p for p in placed.placements if self._takes_work(p.engine_id)]
        if not placements:
            return False, 0
        claims = await self._leasing.claim(placements)
        for claim in claims:
            await self._send(claim)
        is_all = is_all and len(claims) == len(placed.placements)
        return bool(claims) and not is_all, len(placements) - len(claims)

    def _free(self, now: datetime) -> list[Offer]:
        return free_offers(self._hub.sessions(), policy=self._policy.health, now=now)

    async def _place(self, offers: Sequence[Offer], now: datetime) -> tuple[Placed, bool]:
        """Place what is ready; tell too whether that was looked at to the last task."""
        lines = await self._store.list_lines()
        able = set(satisfied(sorted({line.requirement for line in lines}), offers))
        lines = [line for line in lines if line.requirement in able]
        if not lines:
            return _NOTHING, True
        slots = sum(offer.free_slot_count for offer in offers)
        limit = min(slots, _MOST_SLOTS) + _SPARE_HEADS
        while True:
            found = await next_tasks(
                self._store, lines, limit=limit, policy=self._policy.urgency, now=now
            )
            placed = place(
                found.tasks,
                offers,
                now=now,
                busy=lambda: busy_offers(self._hub.sessions(), policy=self._policy.health, now=now),
                policy=self._policy.placement,
            )
            if placed.placements or found.is_all or limit >= _MOST_HEADS:
                return placed, found.is_all
            limit = min(limit * _MORE_HEADS, _MOST_HEADS)

    def _takes_work(self, engine_id: str) -> bool:
        """Tell whether an engine still does: it may have gone while heads were read."""
        session = self._hub.get(engine_id)
        return session is not None and session.takes_work and session.free_slot_count > 0

    def _note_holds(self, holds: Sequence[Hold], *, looked: bool) -> None:
        if not looked:
            return  # no engine is free: what was said of each still stands
        before, self._holds = self._holds, {hold.task_id: hold for hold in holds}
        for hold in holds:
            known = before.get(hold.task_id)
            if known is None or known.engine_id != hold.engine_id:
                _log.info(
                    "task_held_back", task=hold.task_id, engine=hold.engine_id, why=hold.reason
                )

    async def _send(self, claim: Claim) -> None:
        attempt = claim.attempt
        if not self._assigning.send(claim):
            await self._leasing.release(
                attempt.id,
                AttemptEvent.GIVEN_BACK,
                cause=f"engine {attempt.engine_id} disconnected before it was sent",
            )
            return
        _log.info(
            "task_assigned",
            job=claim.job.id,
            task=claim.task.id,
            attempt=attempt.id,
            engine=attempt.engine_id,
            kind=claim.task.kind.value,
            decision=attempt.decision,
        )
