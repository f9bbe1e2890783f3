"""What a change is about, told beforehand, so that many changes are read for in few statements."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The ids of what a change will read. A hint: what it leaves out is read when it is asked for.

    Attempts and tasks bring their jobs with them, attempts their tasks too;
    `tenants` bring all their accounts; `with_plan` brings every task of `jobs`
    and of the jobs of `attempts`. `leases` are attempts by themselves: renewing
    them waits for nobody, and passes over what another change holds.
    """

    jobs: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    attempts: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    leases: tuple[str, ...] = ()
    # Objects: whether they are to be deleted.
    garbage: tuple[str, ...] = ()
    # Tenants and request ids.
    requests: tuple[tuple[str, str], ...] = ()
    with_plan: bool = False

    @classmethod
    def merge(cls, many: Iterable["Keys"]) -> Self:
        """Return the keys of all; sorted, so that every replica locks in the same order."""
        given = list(many)
        return cls(
            jobs=_union(keys.jobs for keys in given),
            tasks=_union(keys.tasks for keys in given),
            attempts=_union(keys.attempts for keys in given),
            engines=_union(keys.engines for keys in given),
            tenants=_union(keys.tenants for keys in given),
            leases=_union(keys.leases for keys in given),
            garbage=_union(keys.garbage for keys in given),
            requests=tuple(sorted({key for keys in given for key in keys.requests})),
            with_plan=any(keys.with_plan for keys in given),
        )


def _union(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({key for part in parts for key in part if key}))


NO_KEYS = Keys()
