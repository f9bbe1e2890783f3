"""Change what may still be changed of a job."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from distconv.core.clock import Clock
from distconv.core.descriptions import check_labels
from distconv.core.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    StaleEtagError,
)
from distconv.core.media import MediaInfo
from distconv.core.profile import Profile
from distconv.core.profiles import ProfileCatalogue
from distconv.core.requirements import Requirements
from distconv.core.states import JobState
from distconv.dispatch.changes.change import Change
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Topic
from distconv.dispatch.lifecycle.needs import requirement_of
from distconv.dispatch.reading.finding import Finder
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.steering.validation import (
    JobLimits,
    OrderChecker,
    check_deadline,
    check_max_retries,
    check_priority,
    check_tags,
    check_ttl,
)
from distconv.dispatch.store.keys import Keys
from distconv.dispatch.store.records import JobRecord
from distconv.rpc.auth import Principal

_log = structlog.get_logger()

_PROFILE_PATHS = frozenset({"profile", "profile_spec"})
PATHS = (
    "priority",
    "deadline",
    "ttl",
    "max_retries",
    "labels",
    "engine_tags",
    "transfer_mode",
    *sorted(_PROFILE_PATHS),
)
# What may be changed of a job that has ended.
_ALWAYS = frozenset({"labels"})
# No engine has begun to encode, and none is about to.
_UNBEGUN = (JobState.PENDING, JobState.RETRYING, JobState.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobUpdate:
    """An update as it came: new values in `order`, and which of them count in `paths`."""

    name: str
    etag: str
    order: JobOrder
    paths: tuple[str, ...]


def etag_of(job: JobRecord) -> str:
    """Return what changes with every change of a job."""
    return f"{job.version:x}"


class JobUpdates:
    """Check updates and carry them out, each in one change."""

    def __init__(
        self,
        *,
        changes: Changes,
        finder: Finder,
        catalogue: ProfileCatalogue,
        limits: JobLimits,
        require_feasible: Callable[[Profile, MediaInfo], None],
        clock: Clock,
    ) -> None:
        """`require_feasible` raises ImpossibleProfileError."""
        self._changes = changes
        self._finder = finder
        self._catalogue = catalogue
        self._limits = limits
        self._require_feasible = require_feasible
        self._clock = clock

    async def update(self, who: Principal, asked: JobUpdate) -> JobRecord:
        """Change a job and return it.

        Raises InvalidArgumentError, NotFoundError, ImpossibleProfileError,
        StaleEtagError, FailedPreconditionError (its state does not allow it).
        """
        values = self._values(asked)
        found = await self._finder.job(who, asked.name)

        async def make(change: Change) -> JobRecord:
            job = await change.job(found.id)
            if asked.etag and asked.etag != etag_of(job):
                raise StaleEtagError(
                    f"job {job.id} has changed since you read it; read it again and decide anew",
                    metadata={"etag": etag_of(job)},
                )
            _require_changeable(job, asked.paths)
            fields = dict(values)
            if "ttl" in values:
                fields["expire_time"] = _expire_time(job, values["ttl"], change.now)
            if "profile" in values and job.source_media is not None:
                self._require_feasible(values["profile"], job.source_media)
            updated = await change.touch_job(job, **fields)
            fields_said = ", ".join(sorted(asked.paths))
            cause = f"{who.user} changed {fields_said}"
            await change.tell_job(updated, "UPDATED", cause=cause)
            await self._alter_tasks(change, job, updated)
            if updated.expire_time is not None:
                change.effects.topics.add(Topic.EXPIRIES)
            return updated

        updated = await self._changes.make(make, keys=Keys(jobs=(found.id,), with_plan=True))
        _log.info("job_updated", job=found.id, by=who.user, fields=sorted(asked.paths))
        return updated

    def _values(self, asked: JobUpdate) -> dict[str, Any]:
        """Return the new values by the names of the record's fields, each checked."""
        order, values = asked.order, dict[str, Any]()
        if not asked.paths:
            raise InvalidArgumentError(
                f"the update mask is empty; name what to change: {', '.join(PATHS)}",
                field="update_mask",
            )
        checks: dict[str, Callable[[], Any]] = {
            "priority": lambda: check_priority(order.priority),
            "deadline": lambda: check_deadline(order.deadline, self._clock.now()),
            "ttl": lambda: check_ttl(order.ttl) or self._limits.default_ttl,
            "max_retries": lambda: check_max_retries(order.max_retries, self._limits),
            "labels": lambda: check_labels(order.labels, field="job.labels"),
            "engine_tags": lambda: check_tags(order.engine_tags),
            "transfer_mode": lambda: order.transfer_mode,
        }
        for path in asked.paths:
            if path in checks:
                values[path] = checks[path]()
            elif path in _PROFILE_PATHS:
                profile = self._profile(order, asked.paths)
                values |= {"profile": profile, "profile_name": profile.name}
            else:
                raise InvalidArgumentError(
                    f"'{path[:80]}' cannot be changed; what can is {', '.join(PATHS)}",
                    field="update_mask",
                )
        if order.container is not None and "profile" not in values:
            raise InvalidArgumentError(
                "the container is changed with the profile: put 'profile' into the mask",
                field="container",
            )
        return values

    def _profile(self, order: JobOrder, paths: tuple[str, ...]) -> Profile:
        checker = OrderChecker(self._catalogue, self._limits, self._clock.now())
        name = order.profile if "profile" in paths else ""
        spec = order.profile_spec if "profile_spec" in paths else None
        return checker.profile(name, spec, order.container)

    async def _alter_tasks(self, change: Change, before: JobRecord, after: JobRecord) -> None:
        for task in await change.tx.list_tasks(before.id):
            if task.state.is_terminal:
                continue
            pinned = Requirements.of_key(task.requirement).engine
            key = requirement_of(after, task.kind, engine_id=pinned)
            if key != task.requirement:
                task = await change.alter_task(task, requirement=key)  # noqa: PLW2901
            if before.profile != after.profile:
                task = await change.rework(task, after)  # noqa: PLW2901
            if (before.priority, before.deadline) != (after.priority, after.deadline):
                await change.reprioritise(task, priority=after.priority, deadline=after.deadline)


def _require_changeable(job: JobRecord, paths: tuple[str, ...]) -> None:
    changed = set(paths)
    if job.state.is_terminal and changed - _ALWAYS:
        raise FailedPreconditionError(
            f"job {job.id} is {job.state.value}; only its labels can be changed any more"
        )
    if changed & _PROFILE_PATHS and job.state not in _UNBEGUN:
        raise FailedPreconditionError(
            f"job {job.id} is {job.state.value}; its profile can be changed until an engine is "
            "at work on it: pause it first, which loses what was encoded"
        )


def _expire_time(job: JobRecord, ttl: timedelta | None, now: datetime) -> datetime | None:
    if ttl is None:
        return None
    began = job.create_time
    if job.expire_time is not None and job.ttl is not None:
        began = job.expire_time - job.ttl  # a retry by hand begins it anew
    if began + ttl <= now:
        raise InvalidArgumentError(
            f"job.ttl is not acceptable: with {ttl.total_seconds():g} s the job would have "
            f"expired at {began + ttl:%Y-%m-%dT%H:%M:%SZ}; give it more",
            field="job.ttl",
        )
    return began + ttl
