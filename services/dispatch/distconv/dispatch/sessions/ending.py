"""The end of an engine's session, as the database has it; within a change."""

from dataclasses import replace
from datetime import datetime

from distconv.core.engine import EngineMetrics, EngineState
from distconv.dispatch.changes.change import Change


async def take_offline(
    change: Change,
    engine_id: str,
    *,
    session_id: str,
    cause: str,
    metrics: EngineMetrics | None = None,
    heartbeat_time: datetime | None = None,
) -> bool:
    """Note that a session is over; False when the engine has another by now.

    `cause` is for people; `metrics` and `heartbeat_time` are the last that were
    heard, None when what is stored is the last. The engine's attempts keep
    their leases.
    """
    known = await change.tx.get_engine(engine_id)
    if known is None or known.session_id != session_id or known.state is EngineState.REVOKED:
        return False
    offline = replace(
        known,
        state=EngineState.OFFLINE,
        session_id="",
        replica_id="",
        connect_time=None,
        metrics=metrics or known.metrics,
        heartbeat_time=heartbeat_time or known.heartbeat_time,
    )
    await change.put_engine(offline, known, cause=cause)
    return True
