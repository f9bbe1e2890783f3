"""Hints between replicas as bytes: compact JSON, of which what is not understood is ignored."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from distconv.core.attempt_states import AttemptState
from distconv.core.errors import InvalidArgumentError
from distconv.core.progress import JobProgress
from distconv.dispatch.changes.signals import Effects, Quarantine, Stop, Topic
from distconv.dispatch.store.records import AttemptRecord

# NATS takes a message of 1 MiB by default; an id is 16 characters.
_JOBS_PER_MESSAGE = 5000
_PROGRESS_PER_MESSAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What a replica told: effects of its changes, or the progress of jobs on its engines."""

    replica_id: str
    effects: Effects | None = None
    progress: Mapping[str, JobProgress] | None = None


def pack_effects(replica_id: str, effects: Effects) -> Iterator[bytes]:
    """Yield messages that tell of effects, but for those that concern this replica alone.

    Speeds and counts of retries are kept where the engine's session is.
    """
    changed = iter(sorted(effects.changed_jobs | effects.ended_jobs))
    first: dict[str, object] = {
        "topics": sorted(topic.name for topic in effects.topics),
        "attempts": [_pack_attempt(attempt) for attempt in effects.ended_attempts],
        "stops": [[*_pack_attempt(stop.attempt), stop.reason] for stop in effects.stops],
        "engines": sorted(effects.changed_engines),
        "quarantines": [[q.engine_id, q.until.timestamp(), q.reason] for q in effects.quarantines],
    }
    while True:
        jobs = list(islice(changed, _JOBS_PER_MESSAGE))
        if jobs or first:
            ended = [job for job in jobs if job in effects.ended_jobs]
            yield _dump({"replica": replica_id, "changed": jobs, "ended": ended, **first})
        first = {}
        if len(jobs) < _JOBS_PER_MESSAGE:
            return


def pack_progress(replica_id: str, progress: Mapping[str, JobProgress]) -> Iterator[bytes]:
    """Yield messages that tell how far jobs have come."""
    jobs = iter(progress.items())
    while page := list(islice(jobs, _PROGRESS_PER_MESSAGE)):
        yield _dump(
            {"replica": replica_id, "progress": {job: _pack_progress(p) for job, p in page}}
        )


def unpack(data: bytes) -> Hint:
    """Return what a message tells. Raises InvalidArgumentError."""
    try:
        told: dict[str, Any] = json.loads(data)
        if "progress" in told:
            progress = {str(job): _progress(p) for job, p in told["progress"].items()}
            return Hint(replica_id=str(told["replica"]), progress=progress)
        return Hint(replica_id=str(told["replica"]), effects=_effects(told))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidArgumentError(f"a hint of another replica cannot be read: {error}") from error


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _effects(told: Mapping[str, Any]) -> Effects:
    return Effects(
        # A topic of a newer version is left out: its duty is not here.
        topics={Topic[name] for name in told.get("topics", ()) if name in Topic.__members__},
        changed_jobs=set(map(str, told.get("changed", ()))),
        ended_jobs=set(map(str, told.get("ended", ()))),
        ended_attempts=[_attempt(*values) for values in told.get("attempts", ())],
        stops=[
            Stop(attempt=_attempt(*values), reason=str(reason))
            for *values, reason in told.get("stops", ())
        ],
        changed_engines=set(map(str, told.get("engines", ()))),
        quarantines=[
            Quarantine(
                engine_id=str(engine),
                until=datetime.fromtimestamp(until, UTC),
                reason=str(reason),
            )
            for engine, until, reason in told.get("quarantines", ())
        ],
    )


def _pack_attempt(attempt: AttemptRecord) -> list[object]:
    return [
        attempt.id,
        attempt.tenant,
        attempt.job_id,
        attempt.task_id,
        attempt.engine_id,
        attempt.fencing_token,
        attempt.state.value,
        attempt.create_time.timestamp(),
    ]


def _attempt(*values: Any) -> AttemptRecord:
    """Make the part of an attempt that listeners look at: which it is, where, and its token."""
    attempt, tenant, job, task, engine, token, state, create_time = values
    return AttemptRecord(
        id=str(attempt),
        tenant=str(tenant),
        job_id=str(job),
        task_id=str(task),
        engine_id=str(engine),
        state=AttemptState(state),
        fencing_token=int(token),
        lease_expire_time=None,
        create_time=datetime.fromtimestamp(create_time, UTC),
    )


def _pack_progress(value: JobProgress) -> list[float | None]:
    return [
        value.fraction,
        value.frame_count,
        value.fps,
        value.speed,
        value.out_time.total_seconds(),
        value.read_bytes,
        value.written_bytes,
        None if value.eta is None else value.eta.total_seconds(),
        None if value.update_time is None else value.update_time.timestamp(),
    ]


def _progress(values: list[Any]) -> JobProgress:
    fraction, frames, fps, speed, out_time_s, read, written, eta_s, update_time = values
    return JobProgress(
        fraction=fraction,
        frame_count=int(frames),
        fps=fps,
        speed=speed,
        out_time=timedelta(seconds=out_time_s),
        read_bytes=int(read),
        written_bytes=int(written),
        eta=None if eta_s is None else timedelta(seconds=eta_s),
        update_time=None if update_time is None else datetime.fromtimestamp(update_time, UTC),
    )
