"""A private NATS."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from servers.private import HOST, PrivateServer, folder_of_its_own, running
from servers.programs import find_program, give_away


class NatsServer(PrivateServer):
    """A NATS with JetStream on files."""

    ready_mark = "Server is ready"

    def __init__(self, folder: Path, *, config: str = "") -> None:
        super().__init__(folder)
        self._program = find_program("nats-server", package="nats-server")
        self._config = folder / "nats.conf"
        self._config.write_text(config, encoding="utf-8")
        give_away(folder)

    @property
    def url(self) -> str:
        """Return `nats://127.0.0.1:PORT`."""
        return f"nats://{self.address}"

    def _argv(self) -> list[str]:
        return [
            str(self._program), "-a", HOST, "-p", str(self.port),
            "-js", "-sd", str(self.folder / "jetstream"), "-c", str(self._config),
        ]  # fmt: skip


@contextmanager
def nats_server(*, config: str = "") -> Iterator[NatsServer]:
    """Run a NATS with JetStream while the block lasts; `config` is the text of its file."""
    with folder_of_its_own() as folder, running(NatsServer(folder, config=config)) as server:
        yield server
