"""A private Redis."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.private import HOST, PrivateServer, folder_of_its_own, running
from servers.programs import find_program, give_away


class RedisServer(PrivateServer):
    """A Redis that keeps nothing on disk."""

    ready_mark = "Ready to accept connections"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._program = find_program("redis-server", package="redis-server")
        give_away(folder)

    @property
    def url(self) -> str:
        """Return `redis://127.0.0.1:PORT/0`."""
        return f"redis://{self.address}/0"

    def _argv(self) -> list[str]:
        return [
            str(self._program), "--bind", HOST, "--port", str(self.port),
            "--save", "", "--appendonly", "no", "--dir", str(self.folder),
        ]  # fmt: skip


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis while the block lasts."""
    with folder_of_its_own() as folder, running(RedisServer(folder)) as server:
        yield server
