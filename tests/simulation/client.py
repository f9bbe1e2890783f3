"""Simulated clients: they create, repeat, cancel, pause, and believe what they are answered."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, Protocol, TypeVar

from tests.simulation.clocks import WorldClock
from tests.simulation.ledger import Invariant, Ledger
from tests.simulation.media import SOURCE_BYTES
from tests.simulation.object_world import ObjectWorld
from tests.simulation.replica import MAX_RETRIES
from tests.simulation.virtual_loop import VirtualLoop

from distconv.core.errors import (
    DistconvError,
    FailedPreconditionError,
    NotFoundError,
    UnavailableError,
)
from distconv.core.ids import new_id
from distconv.core.states import JobState
from distconv.dispatch.app import Dispatch
from distconv.dispatch.steering.job_update import JobUpdate
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.store.records import JobRecord
from distconv.rpc.auth import Principal

_T = TypeVar("_T")


class Surroundings(Protocol):
    """What a client finds around it."""

    loop: VirtualLoop
    clock: WorldClock
    ledger: Ledger
    storage: ObjectWorld

    async def call(self, method: Callable[[Dispatch], Awaitable[_T]]) -> _T:
        """Call some replica. Raises DistconvError."""
        ...


@dataclass(slots=True, kw_only=True)
class Wish:
    """A job that a client wants, and what it knows of it."""

    number: int
    order: JobOrder
    at_s: float
    # What else is done to the job: (after so many seconds, what).
    deeds: list[tuple[float, str]] = field(default_factory=list)
    # Called twice although it was answered.
    repeated: bool = False
    job_ids: set[str] = field(default_factory=set)


def _one_in(chance: Random, count: int) -> bool:
    return chance.random() * count < 1


class Client:
    """A user of one tenant."""

    def __init__(self, tenant: str, chance: Random, world: Surroundings) -> None:
        self.tenant = tenant
        self.wishes: list[Wish] = []
        self._sources: list[str] = []
        self._who = Principal(tenant=tenant, user=f"user of {tenant}")
        self._chance = chance
        self._world = world

    def wish(self, number: int, *, at_s: float, wild: bool) -> None:
        """Plan a job; a `wild` one may have a ttl, and is cancelled, paused, retried, deleted."""
        chance, now = self._chance, self._world.clock.now()
        order = JobOrder(
            source_object=f"objects/{self._source()}",
            source_file_name=f"clip {number}.mkv",
            profile=chance.choice(("profiles/h264-720p", "profiles/h264-1080p")),
            priority=chance.choice((0, 0, 0, 10, -10)),
            max_retries=chance.choice((None, None, 0, 1, 3, 9)),
            ttl=timedelta(seconds=chance.uniform(5, 200)) if wild and _one_in(chance, 5) else None,
            deadline=now + timedelta(seconds=at_s + chance.uniform(300, 3000))
            if _one_in(chance, 5)
            else None,
            labels={"wish": str(number)},
            request_id="" if _one_in(chance, 5) else f"request {number}",
        )
        wish = Wish(number=number, order=order, at_s=at_s, repeated=_one_in(chance, 3))
        if wild:
            wish.deeds = [
                (chance.uniform(0, 30), chance.choice(_OFTEN))
                for _ in range(chance.choice((0, 0, 0, 1, 1, 2, 4)))
            ]
        self.wishes.append(wish)

    def wish_alike(self, number: int) -> None:
        """Plan a job like every other: only its tenant tells it apart."""
        order = JobOrder(
            source_object=f"objects/{self._source()}",
            source_file_name=f"clip {number}.mkv",
            profile="profiles/h264-720p",
            max_retries=MAX_RETRIES,
            request_id=f"request {number}",
        )
        self.wishes.append(Wish(number=number, order=order, at_s=self._chance.uniform(0, 1)))

    def _source(self) -> str:
        if self._sources and _one_in(self._chance, 5):
            return self._chance.choice(self._sources)  # known already: it needs no probe
        now = self._world.clock.now()
        source = new_id(now, randomness=self._chance.getrandbits(35))
        self._world.storage.put_source(self.tenant, source, size_bytes=SOURCE_BYTES)
        self._sources.append(source)
        return source

    async def run(self) -> None:
        """Have every wish."""
        async with asyncio.TaskGroup() as group:
            for wish in self.wishes:
                group.create_task(self._have(wish))

    async def _have(self, wish: Wish) -> None:
        await asyncio.sleep(wish.at_s)
        await self._create(wish)
        if wish.repeated and wish.order.request_id:
            await self._create(wish)
        for after_s, deed in wish.deeds:
            await asyncio.sleep(after_s)
            await self._do(wish, deed)

    async def _create(self, wish: Wish) -> None:
        """Ask until there is an answer; without a request id that may make several jobs."""
        while True:
            try:
                view = await self._world.call(lambda d: d.api.intake.create(self._who, wish.order))
                break
            except UnavailableError as error:
                self._world.ledger.note(self.tenant, "asks again:", error.message)
                await asyncio.sleep(self._chance.uniform(0.1, 2.0))
        self._world.ledger.note(self.tenant, "has job", view.job.id, "for", wish.number)
        wish.job_ids.add(view.job.id)
        if len(wish.job_ids) > 1 and wish.order.request_id:
            self._world.ledger.violated(
                Invariant.ONE_JOB,
                f"request '{wish.order.request_id}' was answered with {sorted(wish.job_ids)}",
            )

    async def _do(self, wish: Wish, deed: str) -> None:
        job_id = min(wish.job_ids)
        try:
            job = await self._world.call(partial(_DEEDS[deed], self._who, job_id, self._chance))
        except DistconvError as error:
            self._world.ledger.note(self.tenant, f"may not {deed}", job_id, type(error).__name__)
            return
        self._world.ledger.note(self.tenant, f"did {deed}", job_id)
        if (wanted := _ANSWERS.get(deed)) is not None and job.state is not wanted:
            self._world.ledger.violated(
                Invariant.SOUND, f"to {deed} {job_id} was answered with {job.state}"
            )

    async def settle(self) -> None:
        """Resume whatever is paused."""
        for wish in self.wishes:
            for job_id in wish.job_ids:
                await self._settle(job_id)

    async def _settle(self, job_id: str) -> None:
        name = f"jobs/{job_id}"
        try:
            view = await self._surely(lambda d: d.api.jobs.get(self._who, name))
            if view.job.state is JobState.PAUSED:
                await self._surely(lambda d: d.api.control.resume(self._who, name))
        except NotFoundError:
            pass  # it was deleted
        except FailedPreconditionError:
            pass  # it was resumed by the call before, whose answer was lost

    async def _surely(self, method: Callable[[Dispatch], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await self._world.call(method)
            except UnavailableError:
                await asyncio.sleep(1.0)


async def _get(who: Principal, job_id: str, _: Random, d: Dispatch) -> JobRecord:
    return (await d.api.jobs.get(who, f"jobs/{job_id}")).job


async def _cancel(who: Principal, job_id: str, _: Random, d: Dispatch) -> JobRecord:
    return await d.api.control.cancel(who, f"jobs/{job_id}")


async def _pause(who: Principal, job_id: str, _: Random, d: Dispatch) -> JobRecord:
    return await d.api.control.pause(who, f"jobs/{job_id}")


async def _resume(who: Principal, job_id: str, _: Random, d: Dispatch) -> JobRecord:
    return await d.api.control.resume(who, f"jobs/{job_id}")


async def _retry(who: Principal, job_id: str, chance: Random, d: Dispatch) -> JobRecord:
    request_id = chance.choice(("", f"retry {job_id}"))
    return await d.api.control.retry(who, f"jobs/{job_id}", request_id)


async def _delete(who: Principal, job_id: str, chance: Random, d: Dispatch) -> JobRecord:
    with_output = chance.random() < 0.5
    return await d.api.control.delete(who, f"jobs/{job_id}", delete_output=with_output)


async def _raise(who: Principal, job_id: str, chance: Random, d: Dispatch) -> JobRecord:
    order = JobOrder(priority=chance.choice((-20, 20, 50)))
    return await d.api.updates.update(
        who, JobUpdate(name=f"jobs/{job_id}", etag="", order=order, paths=("priority",))
    )


_DEEDS: dict[str, Callable[[Principal, str, Random, Dispatch], Awaitable[JobRecord]]] = {
    "get": _get,
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "retry": _retry,
    "delete": _delete,
    "raise": _raise,
}
# How often each is done, relative to the others.
_OFTEN = ("get", "cancel", "cancel", "pause", "resume", "resume", "retry", "delete", "raise")
# What a job is once it is said that it was done.
_ANSWERS = {
    "cancel": JobState.CANCELLED,
    "pause": JobState.PAUSED,
    "resume": JobState.PENDING,
}
