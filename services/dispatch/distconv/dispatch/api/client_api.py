"""All that clients may ask for, put together."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from distconv.core.clock import Clock
from distconv.core.profiles import ProfileCatalogue
from distconv.dispatch.changes.changes import Changes
from distconv.dispatch.changes.watchers import Watchers
from distconv.dispatch.lifecycle.concluding import Concluding
from distconv.dispatch.lifecycle.feasibility import require_feasible
from distconv.dispatch.objects.port import Objects
from distconv.dispatch.objects.sources import Sources
from distconv.dispatch.reading.engines import Engines
from distconv.dispatch.reading.finding import Finder
from distconv.dispatch.reading.jobs import Jobs
from distconv.dispatch.reading.views import Views
from distconv.dispatch.settings import DispatchSettings
from distconv.dispatch.steering.engine_control import EngineControl
from distconv.dispatch.steering.job_control import JobControl
from distconv.dispatch.steering.job_intake import IntakeLimits, JobIntake
from distconv.dispatch.steering.job_update import JobUpdates
from distconv.dispatch.steering.validation import JobLimits
from distconv.dispatch.store.port import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientApi:
    """The parts behind DispatchService, without a wire: the simulation's clients use them too."""

    jobs: Jobs
    intake: JobIntake
    control: JobControl
    updates: JobUpdates
    engines: Engines
    engine_control: EngineControl
    views: Views

    @classmethod
    def build(
        cls,
        settings: DispatchSettings,
        *,
        store: Store,
        changes: Changes,
        concluding: Concluding,
        objects: Objects,
        sources: Sources,
        views: Views,
        watchers: Watchers,
        catalogue: ProfileCatalogue,
        clock: Clock,
    ) -> Self:
        """Wire the parts."""
        finder = Finder(store)
        limits = JobLimits(
            default_max_retries=settings.default_max_retries,
            max_retries=settings.max_retries,
            default_ttl=settings.default_job_ttl,
        )
        request_retention = timedelta(seconds=settings.request_retention_s)
        return cls(
            jobs=Jobs(
                store=store,
                finder=finder,
                views=views,
                watchers=watchers,
                progress_interval_s=settings.progress_interval_s,
            ),
            intake=JobIntake(
                store=store,
                changes=changes,
                sources=sources,
                views=views,
                catalogue=catalogue,
                limits=IntakeLimits(
                    jobs=limits,
                    max_source_bytes=settings.max_source_bytes,
                    request_retention=request_retention,
                ),
                clock=clock,
            ),
            control=JobControl(
                changes=changes,
                concluding=concluding,
                finder=finder,
                objects=objects,
                require_feasible=require_feasible,
                request_retention=request_retention,
            ),
            updates=JobUpdates(
                changes=changes,
                finder=finder,
                catalogue=catalogue,
                limits=limits,
                require_feasible=require_feasible,
                clock=clock,
            ),
            engines=Engines(store, finder, views),
            engine_control=EngineControl(changes, finder),
            views=views,
        )
