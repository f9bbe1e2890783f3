"""What every group of the SDK's calls stands on."""

from distconv.client.connection import Connection


class Calls:
    """Calls over one connection, which is there while the client is open."""

    def __init__(self) -> None:
        self._opened: Connection | None = None

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            raise RuntimeError("use the client as `async with Client(address) as client:`")
        return self._opened
