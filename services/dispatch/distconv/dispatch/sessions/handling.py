"""What dispatch does about each message of an engine."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from distconv.core.attempt import AttemptPhase
from distconv.core.attempt_states import AttemptEvent
from distconv.core.clock import Clock
from distconv.core.errors import DistconvError, UnavailableError
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Signals, Topic
from distconv.dispatch.circuit import Circuit
from distconv.dispatch.lifecycle.leasing import Leasing
from distconv.dispatch.lifecycle.progress_board import ProgressBoard
from distconv.dispatch.sessions.messages import (
    AssignmentReply,
    AttemptReport,
    AttemptResult,
    BenchmarkReport,
    FromEngine,
    Heartbeat,
    HeartbeatAck,
    LeaseRenewal,
    LogExcerpt,
)
from distconv.dispatch.sessions.results import Results
from distconv.dispatch.sessions.session import EngineSession, Held
from distconv.dispatch.sessions.speed_book import SpeedBook
from distconv.dispatch.store.in_time import in_time
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import AttemptRecord

# So much more scratch disk than before is news for tasks that wait for it; others write there too,
# and what they free in passing is none.
_ROOMIER = 1.05
# How long the database may take over one message of an engine, seconds.
_SHORTEST_PATIENCE_S = 0.5
_LONGEST_PATIENCE_S = 2.0

_log = structlog.get_logger()


class EngineMessages:
    """Take the messages of every session, in the order each engine sent them."""

    def __init__(
        self,
        *,
        changes: Changes,
        leasing: Leasing,
        results: Results,
        board: ProgressBoard,
        book: SpeedBook,
        signals: Signals,
        clock: Clock,
        heartbeat_interval: timedelta,
        circuit: Circuit,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """`spawn` runs a coroutine in the process's task group."""
        self._changes = changes
        self._leasing = leasing
        self._results = results
        self._board = board
        self._book = book
        self._signals = signals
        self._clock = clock
        # A little less than the interval, so that every regular heartbeat renews.
        self._renew_every = heartbeat_interval * 0.8
        # An engine whose heartbeats are not answered takes this server for gone.
        half_s = heartbeat_interval.total_seconds() / 2
        self._patience_s = min(max(half_s, _SHORTEST_PATIENCE_S), _LONGEST_PATIENCE_S)
        self._circuit = circuit
        self._spawn = spawn

    async def take(self, session: EngineSession, message: FromEngine) -> None:
        """Do what a message asks for. Raises DistconvError, which ends the session.

        A database that is away ends no session: the engine says again what is.
        """
        if self._took_at_once(session, message):
            return
        try:
            await in_time(self._take(session, message), self._patience_s)
        except TimeoutError:
            self._circuit.doubt(f"no answer within {self._patience_s:g} s")
            if isinstance(message, Heartbeat):
                session.send(HeartbeatAck())  # dispatch is there, and has nothing to say of leases
        except UnavailableError as error:
            self._circuit.doubt(error.message)

    def _took_at_once(self, session: EngineSession, message: FromEngine) -> bool:
        """Take what an engine says of every attempt, where nothing is to be waited for."""
        if isinstance(message, AttemptResult):
            self._results.take(session, message)
            return True
        if isinstance(message, Heartbeat) and not message.attempts:
            # Most of a fleet is idle most of the time.
            self._note_heartbeat(session, message)
            session.send(HeartbeatAck())
            return True
        if isinstance(message, AssignmentReply) and message.accepted:
            held = session.held.get(message.ref.attempt)
            # One that is stopped or lost meanwhile is told so by the next heartbeat.
            if held is not None and held.fencing_token == message.fencing_token:
                # Changes are made in the order in which they are asked for: what the engine
                # says next need not wait for this commit.
                self._spawn(self._note_accepted(message.ref.attempt, held))
            return True
        return False

    async def _take(self, session: EngineSession, message: FromEngine) -> None:
        match message:
            case Heartbeat():
                await self._heartbeat(session, message)
            case AssignmentReply():
                await self._refused(session, message)
            case LogExcerpt():
                await self._keep_log(session, message)
            case BenchmarkReport():
                session.measured_time = self._clock.now()
                session.worked = True
                await self._book.keep(session, message)

    async def take_reports(
        self, session: EngineSession, reports: tuple[AttemptReport, ...]
    ) -> None:
        """Take an engine's word on its attempts, from a Hello or a Heartbeat."""
        for report in reports:
            held = session.held.get(report.ref.attempt)
            if held is None or held.stopping or held.fencing_token != report.fencing_token:
                continue
            await self._accepted(report.ref.attempt, held)
            if report.phase is AttemptPhase.ENDED:
                continue  # its result tells the rest
            if report.phase > held.phase:
                await self._leasing.advance(report.ref.attempt, report.phase, report.progress)
                held.phase = report.phase
            if report.progress.eta is not None:
                held.end_time = self._clock.now() + report.progress.eta
            # Before it encodes there is nothing to tell, unless its source is fetched as a file.
            if held.phase > AttemptPhase.STARTING or report.progress.read_bytes:
                self._board.post(held.job_id, report.progress, tenant=held.tenant)

    async def _heartbeat(self, session: EngineSession, beat: Heartbeat) -> None:
        now = self._clock.now()
        tokens = self._note_heartbeat(session, beat)
        known = self._all_fresh(session, tokens, now) or await self._renew(session, tokens, now)
        session.send(_ack(session, beat) if known else HeartbeatAck())
        if not self._circuit.is_open:
            await self.take_reports(session, tuple(beat.attempts))

    def _note_heartbeat(self, session: EngineSession, beat: Heartbeat) -> dict[str, int]:
        """Note what an engine says of itself; return the fencing tokens of its attempts."""
        session.heartbeat_time = self._clock.now()
        scratch_before = session.scratch_free_bytes
        session.note_metrics(beat.metrics)
        was_taking = session.takes_work
        session.draining, session.resting = beat.draining, False
        roomier = session.scratch_free_bytes > scratch_before * _ROOMIER
        if session.takes_work and (roomier or not was_taking):
            self._signals.wake(Topic.WORK)
        tokens = {r.ref.attempt: r.fencing_token for r in beat.attempts}
        self._forget_gone(session, tokens)
        return tokens

    def _all_fresh(self, session: EngineSession, tokens: dict[str, int], now: datetime) -> bool:
        """Tell whether every attempt is known to hold and was renewed of late.

        Engines report at every change; the store need not hear of each.
        """
        worn = now + self._leasing.lease_duration - self._renew_every
        return all(
            (held := session.held.get(key)) is not None
            and held.fencing_token == token
            and not held.stopping
            and held.expire_time > worn
            for key, token in tokens.items()
        )

    async def _renew(self, session: EngineSession, tokens: dict[str, int], now: datetime) -> bool:
        """Push leases on; False when the database is away, and nothing is known of them.

        Nothing is taken from the engine for it: it is told neither that they hold
        nor that they do not.
        """

        async def make(change: Change) -> Sequence[AttemptRecord]:
            return await change.tx.renew_leases(
                engine_id=session.engine.id,
                tokens=tokens,
                expire_time=now + self._leasing.lease_duration,
            )

        try:
            # Apart: a change that waits for a lock must not cost an engine its lease.
            renewed = await self._changes.make(make, keys=Keys(leases=tuple(tokens)), apart=True)
        except UnavailableError as error:
            self._circuit.doubt(error.message)
            return False
        for attempt in renewed:
            held = session.held.get(attempt.id)
            if held is not None and attempt.lease_expire_time is not None:
                held.expire_time = attempt.lease_expire_time
        gone = tokens.keys() - {attempt.id for attempt in renewed}
        for attempt_id in gone:
            held = session.held.get(attempt_id)
            if held is not None and held.fencing_token == tokens[attempt_id]:
                held.stopping = True  # taken from it without a word to this session
        return True

    def _forget_gone(self, session: EngineSession, reported: dict[str, int]) -> None:
        """Free the slots of what the engine does not have any more.

        It was stopped; or its lease has run out for as long again, and nobody told
        this session: it never reached the engine, and the commit that took it back
        was not answered.
        """
        long_over = self._clock.now() - self._leasing.lease_duration
        gone = [
            key
            for key, held in session.held.items()
            if key not in reported and (held.stopping or held.expire_time < long_over)
        ]
        for attempt_id in gone:
            session.drop(attempt_id)
        if gone:
            self._signals.wake(Topic.WORK)

    async def _refused(self, session: EngineSession, reply: AssignmentReply) -> None:
        attempt_id = reply.ref.attempt
        held = session.held.get(attempt_id)
        if held is None or held.fencing_token != reply.fencing_token:
            return  # stopped or lost meanwhile; the next heartbeat says so
        session.resting = True
        session.drop(attempt_id)
        cause = f"engine {session.engine.id} refused it: {reply.refusal or 'no reason given'}"
        await self._leasing.release(attempt_id, AttemptEvent.GIVEN_BACK, cause=cause)

    async def _note_accepted(self, attempt_id: str, held: Held) -> None:
        try:
            await self._accepted(attempt_id, held)
        except DistconvError as error:
            held.accepted = False  # the next heartbeat says it again
            _log.warning("acceptance_postponed", attempt=attempt_id, why=error.message)

    async def _accepted(self, attempt_id: str, held: Held) -> None:
        if not held.accepted:
            await self._leasing.accept(attempt_id)
            held.accepted = True

    async def _keep_log(self, session: EngineSession, log: LogExcerpt) -> None:
        async def make(change: Change) -> None:
            attempt = await change.tx.get_attempt(log.ref.attempt)
            if attempt is not None and attempt.engine_id == session.engine.id:
                await change.tx.save_attempt(replace(attempt, log_excerpt=log.lines))

        await self._changes.make(make, keys=Keys(attempts=(log.ref.attempt,)))


def _ack(session: EngineSession, beat: Heartbeat) -> HeartbeatAck:
    renewals, stale = [], []
    for report in beat.attempts:
        held = session.held.get(report.ref.attempt)
        if held is not None and held.fencing_token == report.fencing_token and not held.stopping:
            renewals.append(
                LeaseRenewal(
                    ref=report.ref,
                    fencing_token=held.fencing_token,
                    expire_time=held.expire_time,
                )
            )
        elif report.phase is not AttemptPhase.ENDED:
            # One that has ended is answered by the acknowledgement of its result.
            stale.append(report.ref)
    return HeartbeatAck(renewals=renewals, stale=stale)
