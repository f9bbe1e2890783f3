"""The storage service put together; knows nothing of how it is served."""

import asyncio

from distconv.core.clock import Clock
from distconv.media.sandbox import RlimitSandbox
from distconv.storage.completion import Completion
from distconv.storage.expirer import expire_uploads
from distconv.storage.finish import Finisher, MediaFinisher
from distconv.storage.limits import Limits
from distconv.storage.objects import Objects
from distconv.storage.providers.local import LocalProvider
from distconv.storage.providers.port import Provider
from distconv.storage.recovery import recover
from distconv.storage.settings import StorageSettings
from distconv.storage.threads import Threads
from distconv.storage.uploads import Uploads


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
        self.provider = provider or LocalProvider(settings.data_dir / "storage", self._threads)
        self.objects = Objects(self.provider)
        self.uploads = Uploads(
            provider=self.provider,
            objects=self.objects,
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
        self._expirer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take the folder, put in order what a crash left, begin to sweep.

        Raises UnavailableError when the folder cannot be used.
        """
        await self.provider.start()
        if not self.provider.shared:  # there, what looks left over may be another's work
            await recover(self.provider)
            await self.objects.contents.mend(await self.provider.keys())
        self._expirer = asyncio.create_task(
            expire_uploads(self.uploads, interval=self._settings.sweep_interval),
            name="expire uploads",
        )

    async def stop(self) -> None:
        """End what goes on and let go of everything; harmless when it was not started."""
        if self._expirer is not None:
            self._expirer.cancel()
            await asyncio.gather(self._expirer, return_exceptions=True)
        await self.uploads.stop()
        await self.provider.close()
        self._threads.close()


def _media_finisher(settings: StorageSettings) -> MediaFinisher:
    return MediaFinisher(
        sandbox=RlimitSandbox(),
        ffmpeg=settings.ffmpeg,
        stall_timeout_s=settings.finish_stall_timeout_s,
    )
