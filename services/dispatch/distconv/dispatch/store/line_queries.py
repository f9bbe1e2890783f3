"""Queries over lines: as text, since they run for every assignment and never change.

Each reads a bounded range of the index `ix_tasks_line` for every line, so that
what it costs depends on the number of lines, not on their length.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from distconv.dispatch.store import tables as t
from distconv.dispatch.store.queries import Line, LineHead
from distconv.dispatch.store.records import TaskRecord
from distconv.dispatch.store.statements import field_names

_NAMES = field_names(TaskRecord)
_COLUMNS = ", ".join(f'"{name}"' for name in _NAMES)

# The names in these texts are all ours.
_OF_LINE = f"""
SELECT {_COLUMNS} FROM tasks
WHERE state = 'READY' AND tasks.requirement = {{requirement}} AND tasks.urgency = {{urgency}}
ORDER BY "rank", id LIMIT :limit
"""  # noqa: S608


def heads(dialect: str, lines: Sequence[Line], limit: int) -> tuple[sa.Executable, dict[str, Any]]:
    """Return the query for the first `limit` tasks of lines, and its parameters."""
    if dialect == "postgresql":
        given: dict[str, Any] = {
            "requirements": [line.requirement for line in lines],
            "urgencies": [line.urgency for line in lines],
        }
        return _lateral(), given | {"limit": limit}
    parts = {f"r{k}": line.requirement for k, line in enumerate(lines)}
    places = {f"u{k}": line.urgency for k, line in enumerate(lines)}
    return _union(len(lines)), {**parts, **places, "limit": limit}


@cache
def _lateral() -> sa.Executable:
    inner = _OF_LINE.format(requirement="line.requirement", urgency="line.urgency")
    return _typed(
        f"SELECT head.* FROM unnest(CAST(:requirements AS text[]), CAST(:urgencies AS int[])) "  # noqa: S608
        f"AS line(requirement, urgency) CROSS JOIN LATERAL ({inner}) AS head"
    )


@cache
def _union(count: int) -> sa.Executable:
    parts = (_OF_LINE.format(requirement=f":r{k}", urgency=f":u{k}") for k in range(count))
    return _typed(" UNION ALL ".join(f"SELECT * FROM ({part})" for part in parts))  # noqa: S608


def _typed(text: str) -> sa.Executable:
    return sa.text(text).columns(*(sa.column(name, t.tasks.c[name].type) for name in _NAMES))


# `rank` is bounded by a value, so that the index ends the search; those of the same rank that
# come later are left out after it.
COUNT_BEFORE = sa.text("""
SELECT coalesce(sum((
    SELECT count(*) FROM (
        SELECT 1 FROM tasks
        WHERE state = 'READY'
        AND tasks.requirement = lines.requirement AND tasks.urgency = lines.urgency
        AND "rank" <= CASE WHEN lines.urgency > :urgency THEN 1e308 ELSE :rank END
        AND (lines.urgency > :urgency OR "rank" < :rank OR tasks.id < :id)
        LIMIT :limit
    ) AS few
)), 0)
FROM lines WHERE lines.urgency >= :urgency AND lines.requirement IN :requirements
""").bindparams(
    sa.bindparam("requirements", expanding=True),
    sa.bindparam("rank", type_=sa.Double()),
    sa.bindparam("urgency", type_=sa.Integer()),
    sa.bindparam("id", type_=sa.String()),
)

CLAIMED_RANK = sa.text(
    "SELECT claimed_rank FROM accounts WHERE urgency = :urgency ORDER BY claimed_rank DESC LIMIT 1"
)

LINE_FRONTS = sa.text("""
SELECT (
    SELECT tasks."rank" FROM tasks
    WHERE state = 'READY'
    AND tasks.requirement = lines.requirement AND tasks.urgency = lines.urgency
    ORDER BY tasks."rank", tasks.id LIMIT 1
) AS head_rank, claim_time
FROM lines WHERE urgency = :urgency AND claim_time IS NOT NULL
""").columns(
    sa.column("head_rank", sa.Double()), sa.column("claim_time", t.lines.c.claim_time.type)
)

# Few columns of one row a line: there may be hundreds.
LINE_HEADS = (
    sa.text("""
    SELECT tasks.id, tasks.requirement, tasks.urgency, tasks."rank", ready_time, update_time
    FROM (
        SELECT (
            SELECT tasks.id FROM tasks
            WHERE state = 'READY'
            AND tasks.requirement = lines.requirement AND tasks.urgency = lines.urgency
            ORDER BY tasks."rank", tasks.id LIMIT 1
        ) AS head_id
        FROM lines WHERE lines.requirement IN :requirements
    ) AS first JOIN tasks ON tasks.id = first.head_id
    """)
    .bindparams(sa.bindparam("requirements", expanding=True))
    .columns(*(sa.column(name, t.tasks.c[name].type) for name in field_names(LineHead)))
)
