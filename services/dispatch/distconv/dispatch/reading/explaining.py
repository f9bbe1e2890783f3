"""Gather what an explanation of a job rests on."""

from collections.abc import Callable, Sequence

from distconv.core.clock import Clock
from distconv.core.engine import EngineState
from distconv.core.health import HealthPolicy
from distconv.core.names import LOCAL_TENANT
from distconv.core.states import JobState
from distconv.core.task_states import TaskState
from distconv.dispatch.placement.choice import Hold
from distconv.dispatch.placement.matching import Matching
from distconv.dispatch.placement.offer import Offer, satisfied
from distconv.dispatch.reading.explanation import EngineFacts, Explanation, JobFacts, explain
from distconv.dispatch.scheduling.offers import offer_of
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.sessions.session import EngineSession
from distconv.dispatch.store.port import Store
from distconv.dispatch.store.queries import EngineQuery
from distconv.dispatch.store.records import EngineRecord, JobRecord, TaskRecord

# So many engines are told of at most: an answer is for people.
_MOST_ENGINES = 200


class Explainer:
    """Explain jobs: what the store knows, and what the sessions of this replica do."""

    def __init__(
        self,
        *,
        store: Store,
        hub: SessionHub,
        clock: Clock,
        policy: HealthPolicy,
        held: Callable[[str], Hold | None],
    ) -> None:
        """`held` returns why a task is held back."""
        self._store = store
        self._hub = hub
        self._clock = clock
        self._policy = policy
        self._held = held

    async def explain(self, job: JobRecord) -> Explanation:
        """Explain a job."""
        tasks = await self._store.list_tasks(job.id)
        engines = await self._engines()
        facts = JobFacts(job=job, tasks=tasks, attempts=await self._store.list_attempts(job.id))
        task = facts.next_task
        if job.state is JobState.PENDING and task is not None and task.state is TaskState.READY:
            facts = JobFacts(
                job=job,
                tasks=tasks,
                attempts=facts.attempts,
                ahead=await self._ahead(task, engines),
                hold=self._held(task.id),
            )
        return explain(facts, engines, now=self._clock.now())

    async def _engines(self) -> list[EngineFacts]:
        found = await self._store.list_engines(
            EngineQuery(
                tenant=LOCAL_TENANT,
                states=frozenset(EngineState) - {EngineState.REVOKED},
                limit=_MOST_ENGINES,
            )
        )
        facts = []
        for engine in found:
            session = self._hub.get(engine.id)
            if session is not None:
                facts.append(self._here(engine, session))
            else:
                facts.append(await self._elsewhere(engine))
        return facts

    def _here(self, engine: EngineRecord, session: EngineSession) -> EngineFacts:
        return EngineFacts(
            engine=engine,
            offer=offer_of(session, policy=self._policy, now=self._clock.now()),
            connected=True,
            takes_work=session.takes_work,
            draining=session.draining,
        )

    async def _elsewhere(self, engine: EngineRecord) -> EngineFacts:
        """Describe an engine that is connected to another replica, or to none."""
        connected = engine.state is not EngineState.OFFLINE
        live = await self._store.list_live_attempts(engine.id) if connected else ()
        return EngineFacts(
            engine=engine,
            offer=Offer(
                engine_id=engine.id,
                display_name=engine.display_name,
                matching=Matching(engine.capabilities, engine_id=engine.id),
                slot_count=engine.slot_count,
                scratch_free_bytes=(
                    engine.metrics.scratch_free_bytes
                    if engine.metrics is not None
                    else engine.capabilities.scratch_bytes
                ),
                free_slot_count=max(engine.slot_count - len(live), 0),
                free_times=tuple(
                    a.create_time + a.estimate for a in live if a.estimate is not None
                ),
            ),
            connected=connected,
            takes_work=connected,
            draining=engine.state is EngineState.DRAINING,
        )

    async def _ahead(self, task: TaskRecord, engines: Sequence[EngineFacts]) -> int:
        """Count the tasks before `task` that the engines that take work can do."""
        offers = [facts.offer for facts in engines if facts.connected and facts.takes_work]
        able = satisfied(await self._store.list_requirements(), offers)
        return await self._store.count_ready_before(task, requirements=able)
