"""The results of attempts: verified, concluded and acknowledged, beside the engine's session."""

from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from distconv.core.attempt import AttemptPhase, Returned, Transcoded
from distconv.core.errors import (
    DamagedObjectError,
    DistconvError,
    UnavailableError,
    VerificationError,
)
from distconv.core.failure import Failure
from distconv.dispatch.changes.signals import Signals, Topic
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.lifecycle.leasing import Leasing
from distconv.dispatch.lifecycle.progress_board import ProgressBoard
from distconv.dispatch.lifecycle.verifying import Verifier
from distconv.dispatch.sessions.messages import AttemptResult, ResultAck
from distconv.dispatch.sessions.session import EngineSession
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import AttemptRecord, JobRecord

_log = structlog.get_logger()


class Results:
    """Judge what engines say came of their attempts."""

    def __init__(
        self,
        *,
        store: Store,
        leasing: Leasing,
        concluding: Concluding,
        verifier: Verifier,
        board: ProgressBoard,
        signals: Signals,
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """`spawn` runs a coroutine in the process's task group."""
        self._store = store
        self._leasing = leasing
        self._concluding = concluding
        self._verifier = verifier
        self._board = board
        self._signals = signals
        self._spawn = spawn

    def take(self, session: EngineSession, result: AttemptResult) -> None:
        """Take a result; it is answered once it was judged, and not at all if that fails."""
        # Verification may wait for storage: heartbeats must not wait with it.
        if result.ref.attempt not in session.concluding:
            session.concluding.add(result.ref.attempt)
            self._spawn(self._conclude(session, result))

    async def _conclude(self, session: EngineSession, result: AttemptResult) -> None:
        attempt_id = result.ref.attempt
        try:
            accepted = await self._judge(session, result)
        except DistconvError as error:
            # Not acknowledged: the engine tells again with its next heartbeat.
            _log.warning(
                "result_postponed",
                job=result.ref.job,
                attempt=attempt_id,
                engine=session.engine.id,
                why=error.message,
            )
            return
        finally:
            session.concluding.discard(attempt_id)
        if not accepted:
            _log.warning(
                "result_refused",
                job=result.ref.job,
                attempt=attempt_id,
                engine=session.engine.id,
                fencing_token=result.fencing_token,
            )
        if attempt_id in session.held:
            # It was stopped, or it had ended before: at another replica, or in a commit whose
            # answer was lost. The engine has let go of it either way.
            session.drop(attempt_id)
            self._signals.wake(Topic.WORK)
        session.send(
            ResultAck(ref=result.ref, fencing_token=result.fencing_token, accepted=accepted)
        )

    async def _judge(self, session: EngineSession, result: AttemptResult) -> bool:
        outcome, verified = result.outcome, True
        if isinstance(outcome, Returned):
            session.resting = True
        if isinstance(outcome, Transcoded):
            attempt, job = await self._given(session, result)
            if attempt is None or job is None:
                return False
            if attempt.state.is_live:
                try:
                    await self._verifier.verify(job, attempt, outcome)
                except (VerificationError, DamagedObjectError) as error:
                    outcome, verified = Failure.of(error), False
                except UnavailableError:
                    # It stays so until storage answers: let it be seen where it stands.
                    await self._leasing.advance(
                        attempt.id, AttemptPhase.FINISHING, self._board.get(job.id)
                    )
                    raise
        concluded = await self._concluding.conclude(
            result.ref.attempt,
            engine_id=session.engine.id,
            fencing_token=result.fencing_token,
            outcome=outcome,
            progress=self._board.get(result.ref.job),
        )
        return concluded and verified

    async def _given(
        self, session: EngineSession, result: AttemptResult
    ) -> tuple[AttemptRecord | None, JobRecord | None]:
        """Return an attempt and its job, of which only what never changes is to be trusted."""
        held = session.held.get(result.ref.attempt)
        if held is not None and held.attempt is not None and not held.stopping:
            return held.attempt, held.job
        return (
            await self._store.get_attempt(result.ref.attempt),
            await self._store.get_job(result.ref.job),
        )
