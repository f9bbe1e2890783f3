"""Let the replicas of one database behave as one: each tells the others what it changed.

All of it is a hint. Whoever is woken reads the store; a hint that was lost is
healed by the sweep, by the next heartbeat of an engine, or by the next report.
Applying one twice does no harm.
"""

import asyncio
from datetime import timedelta

import structlog

from distconv.core.clock import Clock
from distconv.core.errors import InvalidArgumentError
from distconv.core.progress import JobProgress
from distconv.dispatch.changes.signals import Effects, Signals, Topic
from distconv.dispatch.changes.watchers import Watchers
from distconv.dispatch.lifecycle.progress_board import ProgressBoard
from distconv.dispatch.replicas.wire import Hint, pack_effects, pack_progress, unpack
from distconv.events.inbox import Message
from distconv.events.port import Broadcast

_log = structlog.get_logger()

EFFECTS = "replica.effects"
PROGRESS = "replica.progress"
_EVERY = "replica.*"
_INBOX_LIMIT = 8192
# What a duty does elsewhere concerns it there. Only work may be for engines here.
_SHARED_TOPICS = frozenset({Topic.WORK})
# Progress that was not heard of for so long is of an attempt that ended.
_FORGET_AFTER_S = 120.0


class ReplicaLink:
    """Carry effects and progress between this replica and the others."""

    def __init__(
        self,
        *,
        replica_id: str,
        broadcast: Broadcast,
        signals: Signals,
        board: ProgressBoard,
        watchers: Watchers,
        clock: Clock,
        sweep_interval: timedelta,
        progress_interval: timedelta,
    ) -> None:
        """`progress_interval` is how often progress is told; `sweep_interval` heals lost hints."""
        self._replica_id = replica_id
        self._broadcast = broadcast
        self._signals = signals
        self._board = board
        self._watchers = watchers
        self._clock = clock
        self._sweep_s = sweep_interval.total_seconds()
        self._progress_s = progress_interval.total_seconds()
        self._effects: Effects | None = None
        self._progress: dict[str, JobProgress] = {}
        signals.forward(self._tell)
        board.listen(self._report)

    async def run(self) -> None:
        """Listen to the other replicas, and sweep now and then, for ever."""
        loop = asyncio.get_running_loop()
        with self._broadcast.listen(_EVERY, limit=_INBOX_LIMIT) as inbox:
            due = loop.time() + self._sweep_s
            while True:
                message = None
                try:
                    async with asyncio.timeout_at(due):
                        message = await inbox.get()
                except TimeoutError:
                    pass
                if message is None or message.gap or loop.time() >= due:
                    self.sweep()
                    due = loop.time() + self._sweep_s
                if message is not None and message.data:
                    self._take(message)

    def sweep(self) -> None:
        """Look at everything that a lost hint may have been about."""
        self._signals.wake_all()
        self._watchers.notify_all()
        self._board.forget_unheard(since_s=self._clock.monotonic() - _FORGET_AFTER_S)

    def _tell(self, effects: Effects) -> None:
        """Tell of a change made here, together with those that follow in the same breath."""
        topics = effects.topics & _SHARED_TOPICS
        shared = (
            topics,
            effects.changed_jobs,
            effects.ended_attempts,
            effects.stops,
            effects.changed_engines,
            effects.quarantines,
        )
        if not any(shared):
            return
        if self._effects is None:
            self._effects = Effects()
            asyncio.get_running_loop().call_soon(self._send_effects)
        pending = self._effects
        pending.topics |= topics
        pending.changed_jobs |= effects.changed_jobs
        pending.ended_jobs |= effects.ended_jobs
        pending.ended_attempts += effects.ended_attempts
        pending.stops += effects.stops
        pending.changed_engines |= effects.changed_engines
        pending.quarantines += effects.quarantines
        for job_id in effects.ended_jobs | {a.job_id for a in effects.ended_attempts}:
            self._progress.pop(job_id, None)

    def _send_effects(self) -> None:
        effects, self._effects = self._effects, None
        if effects is not None:
            for data in pack_effects(self._replica_id, effects):
                self._broadcast.send(EFFECTS, data)

    def _report(self, job_id: str, _tenant: str, progress: JobProgress) -> None:
        if not self._progress:
            asyncio.get_running_loop().call_later(self._progress_s, self._send_progress)
        self._progress[job_id] = progress

    def _send_progress(self) -> None:
        progress, self._progress = self._progress, {}
        for data in pack_progress(self._replica_id, progress):
            self._broadcast.send(PROGRESS, data)

    def _take(self, message: Message) -> None:
        try:
            hint = unpack(message.data)
        except InvalidArgumentError as error:
            _log.warning("hint_unreadable", topic=message.topic, why=error.message)
            return
        if hint.replica_id != self._replica_id:
            self._apply(hint)

    def _apply(self, hint: Hint) -> None:
        if hint.effects is not None:
            self._signals.hear(hint.effects)
        for job_id, progress in (hint.progress or {}).items():
            self._board.hear(job_id, progress, now_s=self._clock.monotonic())
