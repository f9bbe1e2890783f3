"""All engine sessions of this process: opening, replacing, draining and finding them."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import structlog

from distconv.core.attempt import AttemptPhase
from distconv.core.attempt_states import AttemptEvent
from distconv.core.clock import Clock
from distconv.core.engine import EngineState
from distconv.core.errors import (
    AlreadyExistsError,
    DistconvError,
    PermissionDeniedError,
    UnavailableError,
)
from distconv.core.names import AttemptRef
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Effects, Signals, Topic
from distconv.dispatch.lifecycle.leasing import Leasing
from distconv.dispatch.sessions.ending import take_offline
from distconv.dispatch.sessions.messages import CancelAttempt, Drain, Hello, Welcome
from distconv.dispatch.sessions.session import EngineSession
from distconv.dispatch.sessions.speed_book import SpeedBook
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import AttemptRecord, EngineRecord

_log = structlog.get_logger()

_REVOKED = (
    "this engine was revoked by an operator; to let the machine join as a new one, delete the file "
    "engine-id in the engine's data folder"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPace:
    """How often an engine is to be heard."""

    heartbeat_interval: timedelta
    lease_duration: timedelta


class SessionHub:
    """Know the sessions of the engines that are connected here."""

    def __init__(
        self,
        *,
        changes: Changes,
        leasing: Leasing,
        signals: Signals,
        clock: Clock,
        pace: SessionPace,
        book: SpeedBook,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        replica_id: str = "",
        peers: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        """Take the parts.

        `spawn` runs a coroutine in the process's task group. `replica_id` names
        this process, `peers` tells where the other replicas listen.
        """
        self._changes = changes
        self._leasing = leasing
        self._signals = signals
        self._clock = clock
        self._pace = pace
        self._book = book
        self._spawn = spawn
        self._replica_id = replica_id
        self._peers = peers
        self._sessions: dict[str, EngineSession] = {}
        self._closing = False
        signals.listen(self._on_change)

    def sessions(self) -> list[EngineSession]:
        """Return every session that is open."""
        return list(self._sessions.values())

    def get(self, engine_id: str) -> EngineSession | None:
        """Return an engine's session."""
        return self._sessions.get(engine_id)

    async def open(self, tenant: str, hello: Hello) -> EngineSession:
        """Begin a session: the engine is ONLINE, what it still runs is re-attached.

        A session that the engine has already is ended. Attempts that hold their
        lease but are not in the Hello are gone, and released at once. Raises
        PermissionDeniedError and UnavailableError.
        """
        if self._closing:
            raise UnavailableError("dispatch is shutting down; connect again in a moment")
        if (old := self._sessions.pop(hello.engine_id, None)) is not None:
            old.end(_taken_over(old.engine, hello.instance_id))
        engine, live = await self._attach(tenant, hello)
        reported = {report.ref.attempt: report for report in hello.attempts}
        kept = []
        for attempt in live:
            report = reported.get(attempt.id)
            if report is not None and report.fencing_token == attempt.fencing_token:
                kept.append(attempt)
            else:
                cause = f"engine {engine.id} came back without it"
                await self._leasing.release(attempt.id, AttemptEvent.LEASE_LOST, cause=cause)
        holding = {attempt.id for attempt in kept}
        session = EngineSession(engine, kept)
        await self._book.open(session)
        session.send(
            Welcome(
                engine_id=engine.id,
                session_id=engine.session_id,
                heartbeat_interval=self._pace.heartbeat_interval,
                lease_duration=self._pace.lease_duration,
                stale=[
                    report.ref
                    for report in hello.attempts
                    if report.ref.attempt not in holding and report.phase is not AttemptPhase.ENDED
                ],
            )
        )
        if (raced := self._sessions.get(engine.id)) is not None:
            raced.end(_taken_over(raced.engine, hello.instance_id))
        self._sessions[engine.id] = session
        for topic in (Topic.WORK, Topic.HEALTH, Topic.IDLENESS):
            self._signals.wake(topic)
        _log.info(
            "engine_connected",
            engine=engine.id,
            session=engine.session_id,
            name=engine.display_name,
            slots=engine.slot_count,
            reattached=len(kept),
        )
        return session

    async def _attach(self, tenant: str, hello: Hello) -> tuple[EngineRecord, list[AttemptRecord]]:
        async def make(change: Change) -> tuple[EngineRecord, list[AttemptRecord]]:
            known = await change.tx.get_engine(hello.engine_id)
            if known is not None and known.tenant != tenant:
                raise PermissionDeniedError(
                    "this engine id belongs to someone else; remove it, and a new one is made"
                )
            if known is not None and known.state is EngineState.REVOKED:
                raise PermissionDeniedError(_REVOKED)
            engine = self._present(tenant, hello, known, change)
            await change.put_engine(engine, known, cause="it connected")
            change.steer(engine)  # a replica that holds an older session ends it
            await change.tx.renew_leases(
                engine_id=engine.id,
                tokens={r.ref.attempt: r.fencing_token for r in hello.attempts},
                expire_time=change.now + self._pace.lease_duration,
            )
            return engine, list(await change.tx.list_live_attempts(engine_id=engine.id))

        tokens = tuple(report.ref.attempt for report in hello.attempts)
        return await self._changes.make(make, keys=Keys(engines=(hello.engine_id,), leases=tokens))

    def _present(
        self, tenant: str, hello: Hello, known: EngineRecord | None, change: Change
    ) -> EngineRecord:
        said: dict[str, Any] = {
            "display_name": hello.display_name or hello.engine_id,
            "version": hello.version,
            "capabilities": hello.capabilities,
            "slot_count": hello.slot_count,
            "session_id": change.new_id(),
            "connect_time": change.now,
            "heartbeat_time": change.now,
            "replica_id": self._replica_id,
            "instance_id": hello.instance_id,
        }
        if known is None:
            return EngineRecord(
                id=hello.engine_id,
                tenant=tenant,
                state=EngineState.ONLINE,
                create_time=change.now,
                **said,
            )
        until = known.quarantine_time
        kept_out = until is not None and until > change.now
        state = EngineState.QUARANTINED if kept_out else EngineState.ONLINE
        return replace(known, state=state, **said)

    def superseded(self, engine: EngineRecord) -> None:
        """End the session of an engine that has another by now, as its record says."""
        session = self._sessions.get(engine.id)
        if session is None:
            return
        if engine.state is EngineState.REVOKED:
            session.end(PermissionDeniedError(_REVOKED))
        elif not engine.session_id:
            # Taken for gone while nobody could hear it.
            session.end(UnavailableError("the session was given up meanwhile; connect again"))
        else:
            session.end(_taken_over(session.engine, engine.instance_id))
        _log.warning(
            "session_superseded",
            engine=engine.id,
            session=session.session_id,
            by=engine.session_id,
            replica=engine.replica_id,
        )

    def close(self, session: EngineSession) -> None:
        """Note that a session is over; its attempts keep their leases until those end."""
        session.end()
        if self._sessions.get(session.engine.id) is session:
            del self._sessions[session.engine.id]
            self._signals.wake(Topic.WORK)
        self._spawn(self._mark_offline(session))

    async def _mark_offline(self, session: EngineSession) -> None:
        async def make(change: Change) -> bool:
            return await take_offline(
                change,
                session.engine.id,
                session_id=session.session_id,
                cause="its session ended",
                metrics=session.metrics,
                heartbeat_time=session.heartbeat_time,
            )

        try:
            await self._changes.make(make, keys=Keys(engines=(session.engine.id,)))
        except DistconvError as error:
            _log.warning("engine_not_marked_offline", engine=session.engine.id, why=error.message)
        _log.info("engine_disconnected", engine=session.engine.id, session=session.session_id)

    def drain(self) -> None:
        """Tell every engine that dispatch goes away and where to go, and end the sessions."""
        self._closing = True
        addresses = tuple(self._peers())
        for session in self.sessions():
            session.send(Drain(reason="dispatch is shutting down", addresses=addresses))
            session.end(UnavailableError("dispatch is shutting down; connect again in a moment"))

    def _on_change(self, effects: Effects) -> None:
        stopped = {stop.attempt.id for stop in effects.stops}
        for attempt in effects.ended_attempts:
            session = self._sessions.get(attempt.engine_id)
            # One that is stopped keeps its slot until the engine has let go of it.
            if session is not None and attempt.id not in stopped:
                session.drop(attempt.id)
            if session is not None:
                session.note_end(attempt)
        for speed in effects.speeds:
            if (session := self._sessions.get(speed.engine_id)) is not None:
                self._book.add(session, speed)
        for stop in effects.stops:
            self._stop(stop.attempt, stop.reason)

    def _stop(self, attempt: AttemptRecord, reason: str) -> None:
        session = self._sessions.get(attempt.engine_id)
        if session is None:
            return
        if (held := session.held.get(attempt.id)) is not None:
            held.stopping = True
        session.send(
            CancelAttempt(ref=ref_of(attempt), fencing_token=attempt.fencing_token, reason=reason)
        )


def _taken_over(engine: EngineRecord, instance_id: str) -> DistconvError:
    """Make the error for a session whose engine has another, begun by the process `instance_id`.

    The same process may come again; from one with the same identity it was taken.
    """
    if instance_id and instance_id == engine.instance_id:
        return UnavailableError("the engine has a newer session; connect again")
    return AlreadyExistsError("another process with this engine's identity took over")


def ref_of(attempt: AttemptRecord) -> AttemptRef:
    """Return the ids in an attempt's name."""
    return AttemptRef(job=attempt.job_id, task=attempt.task_id, attempt=attempt.id)
