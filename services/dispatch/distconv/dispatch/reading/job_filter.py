"""What the filters of jobs and tasks mean. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from distconv.core.errors import InvalidArgumentError, PermissionDeniedError
from distconv.core.names import parse_tenant, profile_id
from distconv.core.states import JobState
from distconv.core.task_states import TaskState
from distconv.dispatch.reading.filters import (
    ANY_TIME,
    TIME_OPERATORS,
    TimeRange,
    only,
    only_one,
    parse,
    states,
)
from distconv.dispatch.store.terms import label_term, word_terms
from distconv.rpc.auth import Principal

_NAMES = {
    "state": "=",
    "profile": "=",
    "engine": "=",
    "labels.": "=",
    "create_time": TIME_OPERATORS,
    "text": ":",
    "tenant": "=",
}
_S = TypeVar("_S", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter(Generic[_S]):
    """Which jobs, or which tasks, whose jobs have the profile and the terms; None is any.

    `engine` is a name that may be shortened, or empty.
    """

    tenant: str
    states: frozenset[_S] | None = None
    profile_name: str | None = None
    engine: str = ""
    terms: tuple[str, ...] = ()
    created: TimeRange = ANY_TIME


def job_filter(text: str, who: Principal) -> Filter[JobState]:
    """Read a filter of jobs for a caller.

    Raises InvalidArgumentError, and PermissionDeniedError for a tenant that the
    caller may not act for.
    """
    return _filter(text, who, JobState)


def task_filter(text: str, who: Principal) -> Filter[TaskState]:
    """Read a filter of tasks for a caller; see `job_filter` for what it raises."""
    return _filter(text, who, TaskState)


def _filter(text: str, who: Principal, kind: type[_S]) -> Filter[_S]:
    tenant, wanted, profile, engine = who.tenant, None, None, ""
    terms: list[str] = []
    created = ANY_TIME
    for group in parse(text, _NAMES):
        match group[0].name:
            case "state":
                named = states(group, kind)
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
                created = created.narrowed(only_one(group))
            case labels:
                terms.append(label_term(labels.partition(".")[2], only(group, str)))
    return Filter(
        tenant=tenant,
        states=wanted,
        profile_name=profile,
        engine=engine,
        terms=tuple(dict.fromkeys(terms)),
        created=created,
    )


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
