"""What clients see: records with what only this process knows laid over them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from distconv.core.clock import Clock
from distconv.core.engine import EngineState
from distconv.core.health import Standing
from distconv.core.requirements import Requirements
from distconv.core.states import JobState
from distconv.core.task_states import TaskState
from distconv.dispatch.lifecycle.engine_health import health_of
from distconv.dispatch.lifecycle.progress_board import ProgressBoard
from distconv.dispatch.placement.choice import Hold
from distconv.dispatch.reading.waiting import EngineLoad, wait_reason
from distconv.dispatch.scheduling.offers import open_slots
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.records import AttemptRecord, EngineRecord, JobRecord, TaskRecord

_RUNNING = (JobState.TRANSCODING, JobState.COMPLETING)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job with its live progress and why it waits."""

    job: JobRecord
    wait_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A task with its attempts, oldest first."""

    task: TaskRecord
    attempts: Sequence[AttemptRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineView:
    """An engine with the attempts that it holds."""

    engine: EngineRecord
    attempts: Sequence[AttemptRecord]


class Views:
    """Make views."""

    def __init__(
        self,
        store: Store,
        hub: SessionHub,
        board: ProgressBoard,
        *,
        clock: Clock,
        held: Callable[[str], Hold | None],
    ) -> None:
        """`held` returns why a task is held back for a better engine."""
        self._store = store
        self._hub = hub
        self._board = board
        self._clock = clock
        self._held = held

    async def job(self, job: JobRecord, *, count_ahead: bool = True) -> JobView:
        """View a job; counting who is ahead costs a query, so a list leaves it out."""
        view = self.running(job)
        reason = await self._wait_reason(view.job, count_ahead=count_ahead)
        return replace(view, wait_reason=reason)

    def created(self, job: JobRecord, task: TaskRecord | None) -> JobView:
        """View a job that was made this instant, with its READY task; without any query."""
        reason = wait_reason(job, task, self._loads(), ahead=None)
        return JobView(job=job, wait_reason=reason)

    def running(self, job: JobRecord) -> JobView:
        """View a job with its live progress, and without why it waits, which costs queries."""
        if job.state in _RUNNING and (progress := self._board.get(job.id)) is not None:
            job = replace(job, progress=progress)
        return JobView(job=job)

    async def _wait_reason(self, job: JobRecord, *, count_ahead: bool) -> str:
        if job.state is not JobState.PENDING:
            return wait_reason(job, None, (), ahead=None)
        tasks = await self._store.list_tasks(job.id)
        task = next((t for t in tasks if t.state is TaskState.READY), None)
        if task is not None and (hold := self._held(task.id)) is not None:
            return hold.reason
        loads = self._loads()
        ahead = None
        if count_ahead and task is not None and loads:
            ahead = await self._ahead(task, loads)
        return wait_reason(job, task, loads, ahead=ahead)

    def _loads(self) -> list[EngineLoad]:
        now = self._clock.now()
        return [
            EngineLoad(
                engine_id=session.engine.id,
                capabilities=session.capabilities,
                slot_count=session.engine.slot_count,
                free_slot_count=open_slots(session, now),
                takes_work=session.takes_work
                and health_of(session.engine).standing(now) is not Standing.QUARANTINED,
            )
            for session in self._hub.sessions()
        ]

    async def _ahead(self, task: TaskRecord, loads: Sequence[EngineLoad]) -> int:
        """Count the tasks before `task` that the engines here can do."""
        able = [
            key
            for key in await self._store.list_requirements()
            if any(
                not Requirements.of_key(key).missing_from(e.capabilities, engine_id=e.engine_id)
                for e in loads
            )
        ]
        return await self._store.count_ready_before(task, requirements=able)

    async def tasks(self, tasks: Sequence[TaskRecord]) -> list[TaskView]:
        """View tasks with the history of their attempts."""
        attempts = defaultdict[str, list[AttemptRecord]](list)
        for attempt in await self._store.list_attempts_at([task.id for task in tasks]):
            attempts[attempt.task_id].append(attempt)
        return [TaskView(task=task, attempts=attempts[task.id]) for task in tasks]

    async def engine(self, engine: EngineRecord) -> EngineView:
        """View an engine."""
        attempts = await self._store.list_live_attempts(engine.id)
        shown = self.standing(engine)
        if shown.state is EngineState.MAINTENANCE and attempts:
            shown = replace(shown, state=EngineState.DRAINING)
        return EngineView(engine=shown, attempts=attempts)

    def standing(self, engine: EngineRecord) -> EngineRecord:
        """Return an engine as it stands now: by what its session says and operators decided."""
        session = self._hub.get(engine.id)
        state = engine.state
        draining, busy = False, False
        if session is not None:
            draining, busy = session.draining, bool(session.held)
            engine = replace(engine, metrics=session.metrics, heartbeat_time=session.heartbeat_time)
        if state in (EngineState.OFFLINE, EngineState.REVOKED):
            return engine
        if engine.maintenance:
            state = EngineState.DRAINING if busy else EngineState.MAINTENANCE
        elif draining and state is EngineState.ONLINE:
            state = EngineState.DRAINING
        return replace(engine, state=state)
