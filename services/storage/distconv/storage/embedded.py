"""Storage inside another process: the entry point `storage` of `distconv.embeddable`."""

from collections.abc import Sequence

from distconv.process.settings import load
from distconv.rpc.embedding import EmbedContext
from distconv.rpc.server import Service
from distconv.storage.app import StorageApp
from distconv.storage.service import storage_service
from distconv.storage.settings import TABLE, StorageSettings


class EmbeddedStorage:
    """Implement `Embedded`."""

    def __init__(self, app: StorageApp, service: Service) -> None:
        self._app = app
        self._service = service

    @property
    def services(self) -> Sequence[Service]:
        """Return StorageService."""
        return (self._service,)

    async def start(self) -> None:
        """Take the folder and put it in order."""
        await self._app.start()

    async def stop(self) -> None:
        """End and let go of the folder."""
        await self._app.stop()


def build(context: EmbedContext) -> EmbeddedStorage:
    """Make the storage service for a host. Raises InvalidArgumentError for a bad setting."""
    settings, _ = load(
        StorageSettings,
        table=TABLE,
        flags={"data_dir": context.data_dir},
        config_file=context.config_file,
    )
    app = StorageApp(settings, context.clock)
    return EmbeddedStorage(app, storage_service(app, context.tokens))
