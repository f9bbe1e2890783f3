"""What the filters of jobs and tasks mean. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from distconv.core.errors import InvalidArgumentError, PermissionDeniedError
from distconv.core.names import parse_tenant, profile_id
from distconv.core.states import JobState
from distconv.core.task_states import TaskState
from distconv.dispatch.reading.filters import only, parse, states, time_range
from distconv.dispatch.store.terms import label_term, word_terms
from distconv.rpc.auth import Principal

_JOB_NAMES = {
    "state": "=",
    "profile": "=",
    "engine": "=",
    "labels.": "=",
    "create_time": ">= > <= <",
    "text": ":",
    "tenant": "=",
}
_TASK_NAMES = {"state": "=", "engine": "="}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs; None and empty are any. `engine` is a name that may be shortened.

    `created_after` is inclusive, `created_before` is not.
    """

    tenant: str
    states: frozenset[JobState] | None = None
    profile_name: str | None = None
    engine: str = ""
    terms: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Which tasks; None and empty are any. `engine` is a name that may be shortened."""

    states: frozenset[TaskState] | None = None
    engine: str = ""


def job_filter(text: str, who: Principal) -> JobFilter:
    """Read a filter of jobs for a caller.

    Raises InvalidArgumentError, and PermissionDeniedError for a tenant that the
    caller may not act for.
    """
    tenant, wanted, profile, engine = who.tenant, None, None, ""
    terms: list[str] = []
    after: list[datetime] = []
    before: list[datetime] = []
    for group in parse(text, _JOB_NAMES):
        first = group[0]
        match first.name:
            case "state":
                named = states(group, JobState)
                wanted = named if wanted is None else wanted & named
            case "profile":
                profile = _one(profile, only(group, profile_id), "profile")
            case "engine":
                engine = _one(engine, only(group, str), "engine")
            case "tenant":
                tenant = _tenant(only(group, parse_tenant), who)
            case "text":
                terms += _words(only(group, str))
            case "create_time":
                only(group, str)
                start, end = time_range(first)
                after += [start] if start is not None else []
                before += [end] if end is not None else []
            case labels:
                terms.append(label_term(labels.partition(".")[2], only(group, str)))
    return JobFilter(
        tenant=tenant,
        states=wanted,
        profile_name=profile,
        engine=engine,
        terms=tuple(dict.fromkeys(terms)),
        created_after=max(after, default=None),
        created_before=min(before, default=None),
    )


def task_filter(text: str) -> TaskFilter:
    """Read a filter of tasks. Raises InvalidArgumentError."""
    wanted, engine = None, ""
    for group in parse(text, _TASK_NAMES):
        if group[0].name == "state":
            named = states(group, TaskState)
            wanted = named if wanted is None else wanted & named
        else:
            engine = _one(engine, only(group, str), "engine")
    return TaskFilter(states=wanted, engine=engine)


def _one(before: str | None, value: str, name: str) -> str:
    if before not in (None, "", value):
        raise InvalidArgumentError(
            f"the filter asks for two values of '{name}' at once; nothing has both", field="filter"
        )
    return value


def _tenant(name: str, who: Principal) -> str:
    if name != who.tenant and not who.any_tenant:
        raise PermissionDeniedError(f"you may not see the jobs of tenant '{name}'")
    return name


def _words(text: str) -> Iterable[str]:
    terms = word_terms(text)
    if not terms:
        raise InvalidArgumentError(
            f"the text '{text[:40]}' has no word of letters or digits to look for", field="filter"
        )
    return terms
