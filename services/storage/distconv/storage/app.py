"""The storage service put together; knows nothing of how it is served."""

import asyncio

from distconv.core.clock import Clock
from distconv.media.sandbox import RlimitSandbox
from distconv.storage.collector import Collector
from distconv.storage.completion import Completion
from distconv.storage.direct import DirectAccess
from distconv.storage.expirer import expire_uploads
from distconv.storage.finish import Finisher, MediaFinisher
from distconv.storage.left_out import require_empty
from distconv.storage.limits import Limits
from distconv.storage.objects import Objects
from distconv.storage.placing import place_pools
from distconv.storage.pools import Pools
from distconv.storage.providers.port import Provider
from distconv.storage.quotas import Quotas
from distconv.storage.recovery import recover
from distconv.storage.settings import StorageSettings
from distconv.storage.threads import Threads
from distconv.storage.uploads import Uploads
from distconv.storage.watcher import watch_followed


class StorageApp:
    """Own the parts and their lives: `start` before serving, `stop` after."""

    def __init__(
        self,
        settings: StorageSettings,
        clock: Clock,
        *,
        finisher: Finisher | None = None,
    ) -> None:
        """Put the parts together; `finisher` is the settings' own by default."""
        self.limits: Limits = settings.limits
        self.clock = clock
        self._settings = settings
        self._threads = Threads(settings.io_threads)
        placed = place_pools(settings, self._threads, clock)
        self.provider: Provider = placed.provider
        self._records = placed.provider.main
        self._marks = placed.marks
        self.objects = Objects(self.provider)
        self.quotas = Quotas(self._records, settings.quotas)
        self.pools = Pools(
            self.provider,
            self.quotas,
            names=placed.provider.names,
            capacities=settings.quotas.by_pool,
            by_tenant=settings.pools_by_tenant,
            min_free_bytes=settings.min_free_bytes,
        )
        self.uploads = Uploads(
            provider=self.provider,
            objects=self.objects,
            quotas=self.quotas,
            completion=Completion(
                provider=self.provider,
                finisher=finisher or _media_finisher(settings),
                finish_concurrency=settings.finish_concurrency,
                threads=self._threads,
                clock=clock,
            ),
            threads=self._threads,
            limits=self.limits,
            clock=clock,
        )
        self.collector = Collector(
            provider=self.provider,
            objects=self.objects,
            uploads=self.uploads,
            grace=self.limits.upload_ttl,
            clock=clock,
        )
        self.direct = DirectAccess(
            provider=self.provider, objects=self.objects, uploads=self.uploads, clock=clock
        )
        self._duties: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take the folder, put in order what a crash left, begin to sweep.

        Raises UnavailableError when a folder or bucket cannot be used, and
        FailedPreconditionError when those of the pools do not belong together,
        or one that holds something is left out.
        """
        await self._marks.check()
        await self.provider.start()
        await require_empty(self._records, await self._marks.left_out())
        await self._marks.mark()
        if not self.provider.shared:  # there, what looks left over may be another's work
            await recover(self.provider)
            await self.objects.contents.mend(await self.provider.keys())
        expiring = expire_uploads(self.uploads, interval=self._settings.sweep_interval)
        self._duties.append(asyncio.create_task(expiring, name="expire uploads"))
        if self.provider.shared:
            watching = watch_followed(self.uploads, interval=self._settings.watch_interval)
            self._duties.append(asyncio.create_task(watching, name="watch followed uploads"))

    async def stop(self) -> None:
        """End what goes on and let go of everything; harmless when it was not started."""
        for duty in self._duties:
            duty.cancel()
        await asyncio.gather(*self._duties, return_exceptions=True)
        await self.uploads.stop()
        await self.provider.close()
        self._threads.close()


def _media_finisher(settings: StorageSettings) -> MediaFinisher:
    return MediaFinisher(
        sandbox=RlimitSandbox(),
        ffmpeg=settings.ffmpeg,
        stall_timeout_s=settings.finish_stall_timeout_s,
    )
