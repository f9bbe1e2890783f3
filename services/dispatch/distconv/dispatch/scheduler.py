"""Give ready tasks to free engines, woken by events: a job, an engine, a slot, a retry."""

from collections.abc import Callable
from datetime import datetime, timedelta

import structlog

from distconv.core.attempt_states import AttemptEvent
from distconv.core.task_states import TaskKind
from distconv.dispatch.engine_session import EngineSession
from distconv.dispatch.leasing import Claim, Leasing
from distconv.dispatch.media_access import MediaMint
from distconv.dispatch.messages import Assignment, ProbeWork, TranscodeWork
from distconv.dispatch.placement import Offer, Placement, place, satisfied
from distconv.dispatch.session_hub import SessionHub, ref_of
from distconv.dispatch.store.port import Store
from distconv.rpc.tokens import MediaAction

_log = structlog.get_logger()

# So many tasks are looked at in one go; what is placed makes room for the next go.
_PAGE = 64


class Scheduler:
    """Place, claim and assign until nothing more fits."""

    name = "scheduler"

    def __init__(
        self,
        *,
        store: Store,
        leasing: Leasing,
        hub: SessionHub,
        mint: MediaMint,
        stall_timeout: timedelta,
        on_pass: Callable[[], None],
    ) -> None:
        """`on_pass` is called after every pass: why jobs wait may have changed."""
        self._store = store
        self._leasing = leasing
        self._hub = hub
        self._mint = mint
        self._stall_timeout = stall_timeout
        self._on_pass = on_pass

    async def run(self) -> datetime | None:
        """Assign what can be assigned now; only an event makes more possible."""
        while await self._pass():
            pass
        self._on_pass()
        return None

    async def _pass(self) -> bool:
        offers = self._offers()
        if not offers:
            return False
        able = satisfied(await self._store.list_requirements(), offers)
        if not able:
            return False
        tasks = await self._store.list_ready_tasks(requirements=able, limit=_PAGE)
        given = [await self._give(placement) for placement in place(tasks, offers)]
        return any(given)

    def _offers(self) -> list[Offer]:
        return [
            Offer(
                engine_id=session.engine.id,
                display_name=session.engine.display_name,
                capabilities=session.capabilities,
                slot_count=session.engine.slot_count,
                free_slot_count=session.free_slot_count,
            )
            for session in self._hub.sessions()
            if session.takes_work and session.free_slot_count
        ]

    async def _give(self, placement: Placement) -> bool:
        session = self._hub.get(placement.engine_id)
        if session is None or not session.takes_work:
            return False
        claim = await self._leasing.claim(
            placement.task.id, engine_id=placement.engine_id, decision=placement.decision
        )
        if claim is None:
            return False
        if not self._send(session, claim):
            await self._leasing.release(
                claim.attempt.id,
                AttemptEvent.GIVEN_BACK,
                cause=f"engine {placement.engine_id} disconnected before it was sent",
            )
            return False
        _log.info(
            "task_assigned",
            job=claim.job.id,
            task=claim.task.id,
            attempt=claim.attempt.id,
            engine=placement.engine_id,
            kind=claim.task.kind.value,
            decision=placement.decision,
        )
        return True

    def _send(self, session: EngineSession, claim: Claim) -> bool:
        attempt = claim.attempt
        if attempt.lease_expire_time is None:
            return False
        session.hold(attempt)
        sent = session.send(
            Assignment(
                ref=ref_of(attempt),
                fencing_token=attempt.fencing_token,
                lease_expire_time=attempt.lease_expire_time,
                work=self._work(claim),
            )
        )
        if not sent:
            session.drop(attempt.id)
        return sent

    def _work(self, claim: Claim) -> ProbeWork | TranscodeWork:
        job, attempt = claim.job, claim.attempt
        source = self._mint.sign(
            tenant=job.tenant,
            subject=attempt.id,
            object_id=job.source_object_id,
            action=MediaAction.READ,
        )
        if claim.task.kind is TaskKind.PROBE or job.source_media is None:
            return ProbeWork(source=source, size_bytes=job.source_size_bytes)
        sink = self._mint.sign(
            tenant=job.tenant,
            subject=attempt.id,
            object_id=attempt.object_id,
            action=MediaAction.WRITE,
        )
        return TranscodeWork(
            source=source,
            media=job.source_media,
            sink=sink,
            profile=job.profile,
            stall_timeout=self._stall_timeout,
        )
