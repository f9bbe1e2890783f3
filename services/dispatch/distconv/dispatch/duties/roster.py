"""All background duties of dispatch, each with what wakes it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from distconv.core.clock import Clock
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.signals import Signals, Topic
from distconv.dispatch.circuit import Circuit
from distconv.dispatch.duties.database_monitor import DatabaseMonitor
from distconv.dispatch.duties.duty import Duty
from distconv.dispatch.duties.garbage_collector import GarbageCollector
from distconv.dispatch.duties.job_expirer import JobExpirer
from distconv.dispatch.duties.job_purger import JobPurger
from distconv.dispatch.duties.lease_rescuer import LeaseRescuer
from distconv.dispatch.duties.line_pruner import LinePruner
from distconv.dispatch.duties.object_collector import ObjectCollector
from distconv.dispatch.duties.quarantine_warden import QuarantineWarden
from distconv.dispatch.duties.retry_waker import RetryWaker
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.lifecycle.leasing import Leasing
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.sessions.hub import SessionHub
from distconv.dispatch.settings import DispatchSettings
from distconv.dispatch.steering.collecting import ObjectCollecting
from distconv.dispatch.store.port import Store


def all_duties(
    settings: DispatchSettings,
    *,
    store: Store,
    changes: Changes,
    objects: Objects,
    clock: Clock,
    signals: Signals,
    circuit: Circuit,
    hub: SessionHub,
    leasing: Leasing,
    concluding: Concluding,
    collecting: ObjectCollecting,
    woken: Sequence[tuple[Duty, Topic]],
    timed: Sequence[Duty],
) -> Sequence[tuple[Duty, asyncio.Event]]:
    """Return every duty with what wakes it.

    `woken` and `timed` are those that others use, too; the latter look by the clock alone.
    """
    # While the database was away all of them failed: every one looks again.
    monitor = DatabaseMonitor(store, circuit, clock, on_return=signals.wake_all)
    retention = timedelta(seconds=settings.deleted_job_retention_s)
    woken = (
        *woken,
        (QuarantineWarden(changes, hub, signals, clock), Topic.HEALTH),
        (LeaseRescuer(store, leasing, clock, circuit), Topic.LEASES),
        (RetryWaker(store, concluding, clock), Topic.RETRIES),
        (JobExpirer(store, concluding, clock), Topic.EXPIRIES),
        (GarbageCollector(store, changes, objects, clock), Topic.GARBAGE),
        (JobPurger(store, changes, clock, retention=retention), Topic.PURGES),
    )
    collector = ObjectCollector(
        store, collecting, clock, interval=timedelta(seconds=settings.collect_interval_s)
    )
    timed = (LinePruner(changes, clock), collector, *timed)
    return (
        *((duty, signals.event(topic)) for duty, topic in woken),
        (monitor, circuit.doubted),
        *((duty, asyncio.Event()) for duty in timed),
    )
