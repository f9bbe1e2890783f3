"""The storage service put together; knows nothing of how it is served."""

import asyncio
from datetime import timedelta
from pathlib import Path

from distconv.core.clock import Clock
from distconv.core.errors import InvalidArgumentError
from distconv.media.sandbox import RlimitSandbox
from distconv.storage.collector import Collector
from distconv.storage.completion import Completion
from distconv.storage.direct import DirectAccess
from distconv.storage.expirer import expire_uploads
from distconv.storage.finish import Finisher, MediaFinisher
from distconv.storage.limits import Limits
from distconv.storage.objects import Objects
from distconv.storage.pools import Pools
from distconv.storage.providers.local import LocalProvider
from distconv.storage.providers.mounts import Mounts
from distconv.storage.providers.pooled import PooledProvider
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
        provider: Provider | None = None,
        finisher: Finisher | None = None,
    ) -> None:
        """Put the parts together; `provider` and `finisher` are the settings' own by default."""
        self.limits: Limits = settings.limits
        self.clock = clock
        self._settings = settings
        self._threads = Threads(settings.io_threads)
        pooled = PooledProvider(
            provider or _provider(settings, self._threads, clock),
            {
                name: LocalProvider(path, self._threads)
                for name, path in settings.pool_folders.items()
            },
            self._threads,
        )
        self.provider: Provider = pooled
        # A bucket is one pool, and a provider that is given has no folder.
        own = provider is None and not settings.bucket_url
        self._mounts = Mounts(_main_folder(settings), settings.pool_folders if own else {})
        self.objects = Objects(self.provider)
        self.quotas = Quotas(self.provider, settings.quotas)
        self.pools = Pools(
            self.provider,
            self.quotas,
            names=pooled.names,
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

        Raises UnavailableError when a folder cannot be used, and
        FailedPreconditionError when those of the pools do not belong together.
        """
        await self._threads.run(self._mounts.check)
        await self.provider.start()
        await self._threads.run(self._mounts.mark)
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


def _main_folder(settings: StorageSettings) -> Path:
    return settings.data_dir / "storage"


def _provider(settings: StorageSettings, threads: Threads, clock: Clock) -> Provider:
    if not settings.bucket_url:
        return LocalProvider(_main_folder(settings), threads)
    # An extra, which only those install who have a bucket.
    try:
        from distconv.storage.providers.object_connect import (  # noqa: PLC0415
            BucketOptions,
            connect,
        )
        from distconv.storage.providers.object_store import ObjectStoreProvider  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InvalidArgumentError(
            f"{settings.bucket_url} needs the package {error.name}; "
            "install it with pip install 'distconv[s3]'",
            field="bucket_url",
        ) from error
    options = BucketOptions(
        url=settings.bucket_url,
        endpoint=settings.bucket_endpoint,
        public_endpoint=settings.bucket_public_endpoint,
        signs=settings.signed_urls,
        region=settings.bucket_region,
        timeout=timedelta(seconds=settings.bucket_timeout_s),
        patience=timedelta(seconds=settings.bucket_patience_s),
        segment_bytes=settings.segment_bytes,
    )
    return ObjectStoreProvider(connect(options), settings.data_dir / "scratch", threads, clock)


def _media_finisher(settings: StorageSettings) -> MediaFinisher:
    return MediaFinisher(
        sandbox=RlimitSandbox(),
        ffmpeg=settings.ffmpeg,
        stall_timeout_s=settings.finish_stall_timeout_s,
    )
