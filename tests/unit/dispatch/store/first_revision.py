"""A database of the first revision with several rows in every table, and what becomes of them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from distconv.core.engine import EngineCapabilities
from distconv.core.failure import Failure
from distconv.core.profiles import load_catalogue
from distconv.dispatch.store import migrate
from distconv.dispatch.store import tables as today
from distconv.dispatch.store.sql import SqlStore

NOW = datetime(2030, 1, 1, tzinfo=UTC)
JOB_COUNT = 7
_SETS = sa.table("requirement_sets", sa.column("key"), sa.column("tenant"))
_JOB_STATES = ("PENDING", "ASSIGNED", "RETRYING", "COMPLETED", "FAILED", "CANCELLED", "PENDING")
_TASK_STATES = ("READY", "LEASED", "BACKING_OFF", "SUCCEEDED", "FAILED", "CANCELLED", "READY")
_ATTEMPT_STATES = ("LOST", "RUNNING", "FAILED", "SUCCEEDED", "FAILED", "CANCELLED", "RETURNED")


def ident(kind: str, number: int) -> str:
    """Return the id of a row."""
    return f"{kind}{number:015d}"


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows into a table as it was: with the columns that the rows name."""
    columns = [sa.column(name, table.c[name].type) for name in rows[0]]
    connection.execute(sa.insert(sa.table(table.name, *columns)), rows)


def fill(connection: sa.Connection) -> None:
    """Bring an empty database to the first revision, and fill it."""
    migrate.upgrade(connection, name="test", revision="0001")
    profile = load_catalogue().get("h264-480p")
    numbers = range(JOB_COUNT)
    times = [NOW + timedelta(minutes=k) for k in numbers]
    _insert(connection, today.engines, [
        {
            "id": ident("e", k), "tenant": "local", "display_name": f"box {k}", "state": state,
            "version": "1", "capabilities": EngineCapabilities(transcoders=()), "slot_count": 2,
            "session_id": ident("s", k), "metrics": None, "create_time": NOW,
            "connect_time": NOW, "heartbeat_time": times[k],
        }
        for k, state in enumerate(("ONLINE", "OFFLINE", "REVOKED"))
    ])  # fmt: skip
    _insert(connection, today.jobs, [
        {
            "id": ident("j", k), "tenant": f"t{k % 2}", "creator": "me", "state": state,
            "version": 1, "source_object_id": ident("o", k),
            "source_file_name": f"Summer trip {k}.mkv", "source_size_bytes": 1000,
            "profile_name": profile.name, "profile": profile, "priority": k - 3,
            "deadline": NOW + timedelta(days=1) if k == 0 else None,
            "expire_time": NOW + timedelta(days=2) if k == 1 else None, "max_retries": 2,
            "labels": {"year": str(2020 + k)}, "create_time": times[k], "update_time": times[k],
            "end_time": times[k] if state in ("COMPLETED", "FAILED", "CANCELLED") else None,
            "retry_time": NOW if state == "RETRYING" else None, "engine_id": "",
            "retry_count": 0,
        }
        for k, state in enumerate(_JOB_STATES)
    ])  # fmt: skip
    _insert(connection, today.tasks, [
        {
            "id": ident(kind, k), "tenant": f"t{k % 2}", "job_id": ident("j", k),
            "ordinal": ordinal, "kind": name,
            "state": "SUCCEEDED" if ordinal == 0 and state != "READY" else state,
            "depends_on": (ident("p", k),) * ordinal, "requirement": f"muxer=mp4 set={k % 3}",
            "priority": k - 3, "fencing_token": 1,
            "retry_time": NOW if state == "BACKING_OFF" and ordinal else None,
            "preferred_engine_id": "", "avoided_engine_ids": (), "create_time": times[k],
            "update_time": times[k],
        }
        for k, state in enumerate(_TASK_STATES)
        for ordinal, (kind, name) in enumerate((("p", "PROBE"), ("x", "TRANSCODE")))
    ])  # fmt: skip
    _insert(connection, today.attempts, [
        {
            "id": ident("a", k), "tenant": f"t{k % 2}", "job_id": ident("j", k),
            "task_id": ident("x", k), "engine_id": ident("e", k % 3), "state": state,
            "fencing_token": 1,
            "lease_expire_time": NOW + timedelta(seconds=20) if state == "RUNNING" else None,
            "object_id": ident("b", k), "create_time": times[k], "start_time": None,
            "end_time": None if state == "RUNNING" else times[k], "decision": "the only one",
            "error": Failure(reason="R", message="m", retryable=True) if k == 2 else None,
            "log_excerpt": ("a", "b"),
        }
        for k, state in enumerate(_ATTEMPT_STATES)
    ])  # fmt: skip
    _insert(connection, today.transitions, [
        {
            "tenant": f"t{k % 2}", "job_id": ident("j", k), "from_state": before,
            "event": "CREATED", "to_state": "PENDING", "cause": "c", "time": times[k],
        }
        for k in numbers
        for before in (None, "PENDING")
    ])  # fmt: skip
    _insert(connection, today.outbox, [
        {
            "tenant": f"t{k % 2}", "type": "JobQueued", "subject": f"jobs/{ident('j', k)}",
            "payload": {}, "time": times[k],
        }
        for k in numbers
    ])  # fmt: skip
    _insert(connection, today.requests, [
        {
            "tenant": f"t{k % 2}", "request_id": f"r{k}", "method": "CreateJob", "digest": "d",
            "job_id": ident("j", k), "create_time": NOW - timedelta(hours=30 * k),
        }
        for k in numbers
    ])  # fmt: skip
    _insert(connection, today.garbage, [
        {
            "object_id": ident("g", k), "tenant": "t0", "due_time": times[k],
            "final_time": times[k] + timedelta(days=1),
        }
        for k in numbers
    ])  # fmt: skip
    sets = [{"key": f"muxer=mp4 set={k}", "tenant": f"t{n}"} for k in range(3) for n in range(2)]
    connection.execute(sa.insert(_SETS), sets)


def counts(connection: sa.Connection) -> dict[str, int]:
    """Return how many rows every table of the first revision has."""
    names = ("engines", "jobs", "tasks", "attempts", "transitions", "outbox", "requests", "garbage")
    return {
        name: connection.execute(
            sa.select(sa.func.count()).select_from(sa.table(name))
        ).scalar_one()
        for name in (*names, "requirement_sets")
    }


def check_round_trip(connection: sa.Connection) -> None:
    """Bring a filled database up, down and up again: no row of the first revision is lost."""
    before = counts(connection)
    assert all(count >= 3 for count in before.values())
    migrate.upgrade(connection, name="test")
    rows = connection.execute
    assert len(rows(sa.select(today.lines.c.urgency)).all()) == JOB_COUNT
    assert rows(sa.select(sa.func.count()).select_from(today.job_terms)).scalar() == 5 * JOB_COUNT
    migrate.downgrade(connection, "0001")
    assert counts(connection) == before
    migrate.upgrade(connection, name="test")


async def check_content(store: SqlStore) -> None:
    """Read every kind of row as the code of today does."""
    jobs = [job for n in range(2) for job in await store.find_jobs(f"t{n}", "", limit=99)]
    assert sorted(job.id for job in jobs) == [ident("j", k) for k in range(JOB_COUNT)]
    assert {job.attempt_count for job in jobs} == {1}
    for job in jobs:
        probe, transcode = await store.list_tasks(job.id)
        assert (transcode.urgency, transcode.deadline) == (job.priority, job.deadline)
        assert (probe.ready_time is None) == (probe.state != "READY")
        (attempt,) = await store.list_attempts(job.id)
        assert attempt.log_excerpt == ("a", "b")
        assert len(await store.list_transitions(job.id)) == 2
    assert await store.get_next_lease_expiry() == NOW + timedelta(seconds=20)
    assert len(await store.list_due_retries(NOW, limit=9)) == 1
    assert len(await store.list_due_garbage(NOW + timedelta(days=1), limit=99)) == JOB_COUNT
    events = await store.list_events(limit=99)
    assert [event.id for event in events] == [f"{k + 1:016d}" for k in range(JOB_COUNT)]
    for k in range(JOB_COUNT):
        (request,) = await store.list_requests(f"t{k % 2}", [f"r{k}"])
        assert request.expire_time is not None
        kept = request.expire_time - request.create_time
        assert timedelta(days=1) <= kept <= timedelta(days=2)
    engine = await store.get_engine(ident("e", 1))
    assert engine is not None
    assert (engine.display_name, engine.strike_count) == ("box 1", 0)
    assert await store.list_requirements() == [f"muxer=mp4 set={k}" for k in range(3)]
