"""Resource names of the contract: `jobs/{job}/tasks/{task}/attempts/{attempt}` and their like."""

import re
from dataclasses import dataclass

from distconv.core.errors import InvalidArgumentError
from distconv.core.ids import ID_LENGTH, parse_id_prefix

_ID_ALPHABET = frozenset("0123456789abcdefghjkmnpqrstvwxyz")
_TENANT = re.compile(r"[a-z0-9-]{1,63}")

# The tenant of whoever names none, and of engines, which serve all.
LOCAL_TENANT = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRef:
    """The ids in an attempt's name."""

    job: str
    task: str
    attempt: str


def job_name(job: str) -> str:
    """Return the name of a job."""
    return f"jobs/{job}"


def task_name(job: str, task: str) -> str:
    """Return the name of a task."""
    return f"jobs/{job}/tasks/{task}"


def attempt_name(job: str, task: str, attempt: str) -> str:
    """Return the name of an attempt."""
    return f"jobs/{job}/tasks/{task}/attempts/{attempt}"


def engine_name(engine: str) -> str:
    """Return the name of an engine; of no engine, nothing."""
    return f"engines/{engine}" if engine else ""


def object_name(object_id: str) -> str:
    """Return the name of a stored object; of no object, nothing."""
    return f"objects/{object_id}" if object_id else ""


def profile_name(profile_id: str) -> str:
    """Return the name of a profile."""
    return f"profiles/{profile_id}"


def profile_id(name: str) -> str:
    """Return the id in `profiles/{id}`, unchecked; the collection may be left out."""
    return bare(name.strip(), "profiles")


def bare(name: str, collection: str) -> str:
    """Return `name` without its collection, unchecked; the collection may be missing already."""
    return name.removeprefix(f"{collection}/")


def parse_prefix(name: str, collection: str) -> str:
    """Return the id, or the prefix of one, in `{collection}/{id}` as a person wrote it.

    The collection may be left out. Raises InvalidArgumentError.
    """
    head, slash, tail = name.strip().rpartition("/")
    if slash and head != collection:
        raise InvalidArgumentError(
            f"'{name[:80]}' is not the name of one of the {collection}; write {collection}/ID",
            field="name",
        )
    return parse_id_prefix(tail)


def parse_id(name: str, collection: str, *, field: str = "name") -> str:
    """Return the whole id in `{collection}/{id}`. Raises InvalidArgumentError naming `field`."""
    head, _, tail = name.rpartition("/")
    if head != collection or not is_id(tail):
        raise InvalidArgumentError(
            f"{field} is '{name[:80]}'; it must be {collection}/ID, with an id of "
            f"{ID_LENGTH} letters and digits",
            field=field,
        )
    return tail


def parse_attempt(name: str) -> AttemptRef:
    """Return the ids in an attempt's name. Raises InvalidArgumentError."""
    parts = name.split("/")
    ids = parts[1::2]
    if parts[::2] != ["jobs", "tasks", "attempts"] or not all(is_id(i) for i in ids):
        raise InvalidArgumentError(
            f"'{name[:120]}' is not the name of an attempt; "
            "write jobs/JOB/tasks/TASK/attempts/ATTEMPT",
            field="attempt",
        )
    job, task, attempt = ids
    return AttemptRef(job=job, task=task, attempt=attempt)


def parse_tenant(name: str) -> str:
    """Return the name of a tenant as it is. Raises InvalidArgumentError."""
    if not _TENANT.fullmatch(name):
        raise InvalidArgumentError(
            f"'{name[:80]}' is no name for a tenant: lower-case letters, digits and '-', 1 to 63 "
            "characters",
            field="tenant",
        )
    return name


def is_id(text: str) -> bool:
    """Tell whether `text` is a whole id exactly as distconv writes it."""
    return len(text) == ID_LENGTH and _ID_ALPHABET.issuperset(text)
