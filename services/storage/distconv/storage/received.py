"""Read the bytes of an upload that another process may complete, and free, at any moment."""

from collections.abc import Awaitable, Callable

from distconv.core.errors import NotFoundError, UnavailableError
from distconv.core.names import object_name
from distconv.storage.names import Place
from distconv.storage.providers.port import Reader

Become = Callable[[], Awaitable[Reader | None]]
"""Open the object that an upload became, None unless it holds the bytes as they arrived."""


class ReceivedReader:
    """Implement `Reader` over a staging, and over the object once the staging has gone."""

    def __init__(self, staging: Reader, become: Become, place: Place) -> None:
        self._reader = staging
        self._become = become
        self._place = place
        self.size_bytes = staging.size_bytes

    async def read(self, offset: int, length: int, *, piece_bytes: int) -> list[bytes]:
        """Read a range. Raises UnavailableError when the bytes as they arrived are gone."""
        try:
            return await self._reader.read(offset, length, piece_bytes=piece_bytes)
        except NotFoundError as error:
            became = await self._become()
            if became is None:
                raise UnavailableError(
                    f"the bytes of {object_name(self._place.object_id)} as they arrived are gone: "
                    "its upload has ended; read the object again"
                ) from error
        await self._reader.close()
        self._reader = became
        return await self._reader.read(offset, length, piece_bytes=piece_bytes)

    async def close(self) -> None:
        """Close what is open."""
        await self._reader.close()
