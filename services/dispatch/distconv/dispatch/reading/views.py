"""What clients see: records with what only this process knows laid over them."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from distconv.core.clock import Clock
from distconv.core.engine import ABSENT, EngineState
from distconv.core.names import LOCAL_TENANT
from distconv.core.states import JobState
from distconv.core.task_states import TaskState
from distconv.dispatch.lifecycle.progress_board import ProgressBoard
from distconv.dispatch.placement.choice import Hold
from distconv.dispatch.placement.matching import Matching
from distconv.dispatch.reading.waiting import ABOUT_TO_BE_ASSIGNED, EngineLoad, wait_reason
from distconv.dispatch.scheduling.offers import is_quarantined, open_slots
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import EngineQuery
from distconv.dispatch.store.records import AttemptRecord, EngineRecord, JobRecord, TaskRecord

# So many engines of other replicas are looked at.
_MOST_ENGINES = 1000
# ASSIGNED too: its source may be on its way into the engine's scratch folder.
_RUNNING = (JobState.ASSIGNED, JobState.TRANSCODING, JobState.COMPLETING)


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

    async def job(self, job: JobRecord) -> JobView:
        """View a job, with how many tasks are ahead of it."""
        return replace(self.running(job), wait_reason=await self._wait_reason(job))

    async def jobs(self, jobs: Sequence[JobRecord]) -> list[JobView]:
        """View the jobs of a list: the tasks of all in one query, and nobody ahead counted."""
        waiting = [job.id for job in jobs if job.state is JobState.PENDING]
        ready = {
            task.job_id: task
            for task in await self._store.list_tasks_of(waiting)
            if task.state is TaskState.READY
        }
        loads = await self._loads([task.requirement for task in ready.values()])
        # By requirement set: with a thousand engines, each costs a look at all of them.
        known: dict[str, str] = {}

        def reason(job: JobRecord) -> str:
            task = ready.get(job.id)
            if task is None:
                return wait_reason(job, None, (), ahead=None)
            if (hold := self._held(task.id)) is not None:
                return hold.reason
            if task.requirement not in known:
                known[task.requirement] = wait_reason(job, task, loads, ahead=None)
            return known[task.requirement]

        return [replace(self.running(job), wait_reason=reason(job)) for job in jobs]

    async def created(self, job: JobRecord, task: TaskRecord) -> JobView:
        """View a job that was made this instant, with its READY task; mostly without any query."""
        if any(load.can_begin(task.requirement) for load in self._here()):
            # The first free one of maybe a thousand engines tells.
            return JobView(job=job, wait_reason=ABOUT_TO_BE_ASSIGNED)
        loads = await self._loads([task.requirement])
        return JobView(job=job, wait_reason=wait_reason(job, task, loads, ahead=None))

    def running(self, job: JobRecord) -> JobView:
        """View a job with its live progress, and without why it waits, which costs queries."""
        if job.state in _RUNNING and (progress := self._board.get(job.id)) is not None:
            job = replace(job, progress=progress)
        return JobView(job=job)

    async def _wait_reason(self, job: JobRecord) -> str:
        if job.state is not JobState.PENDING:
            return wait_reason(job, None, (), ahead=None)
        tasks = await self._store.list_tasks(job.id)
        task = next((t for t in tasks if t.state is TaskState.READY), None)
        if task is None:
            return ""
        if (hold := self._held(task.id)) is not None:
            return hold.reason
        loads = await self._loads([task.requirement])
        ahead = await self._ahead(task, loads) if loads else None
        return wait_reason(job, task, loads, ahead=ahead)

    async def _loads(self, requirements: Sequence[str]) -> list[EngineLoad]:
        """Return the engines here; with those of other replicas where these cannot do it all."""
        loads = list(self._here())
        if all(any(load.can_do(key) for load in loads) for key in set(requirements)):
            return loads
        here = {load.engine_id for load in loads}
        return loads + [load for load in await self._elsewhere() if load.engine_id not in here]

    async def _elsewhere(self) -> list[EngineLoad]:
        """Return the engines on record; a job that waits finds no free slot at another replica."""
        query = EngineQuery(
            tenant=LOCAL_TENANT,
            states=frozenset(EngineState) - ABSENT,
            limit=_MOST_ENGINES,
        )
        now = self._clock.now()
        return [
            EngineLoad(
                engine_id=engine.id,
                matching=Matching(engine.capabilities, engine_id=engine.id),
                slot_count=engine.slot_count,
                free_slot_count=0,
                takes_work=engine.state is EngineState.ONLINE
                and not engine.maintenance
                and not is_quarantined(engine, now),
            )
            for engine in await self._store.list_engines(query)
        ]

    def _here(self) -> Iterator[EngineLoad]:
        now = self._clock.now()
        for session in self._hub.sessions():
            yield EngineLoad(
                engine_id=session.engine.id,
                matching=session.matching,
                slot_count=session.engine.slot_count,
                free_slot_count=open_slots(session, now),
                takes_work=session.takes_work and not is_quarantined(session.engine, now),
            )

    async def _ahead(self, task: TaskRecord, loads: Sequence[EngineLoad]) -> int:
        """Count the tasks before `task` that the engines here can do."""
        able = [
            key
            for key in await self._store.list_requirements()
            if any(load.can_do(key) for load in loads)
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
        (view,) = await self.engines([engine])
        return view

    async def engines(self, engines: Sequence[EngineRecord]) -> list[EngineView]:
        """View the engines of a list: what all of them hold in one query."""
        attempts = defaultdict[str, list[AttemptRecord]](list)
        if engines:
            for attempt in await self._store.list_live_attempts(*(e.id for e in engines)):
                attempts[attempt.engine_id].append(attempt)
        return [self._engine(engine, attempts[engine.id]) for engine in engines]

    def _engine(self, engine: EngineRecord, attempts: Sequence[AttemptRecord]) -> EngineView:
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
        if state.is_absent:
            return engine
        if engine.maintenance:
            state = EngineState.DRAINING if busy else EngineState.MAINTENANCE
        elif draining and state is EngineState.ONLINE:
            state = EngineState.DRAINING
        return replace(engine, state=state)
