"""A private PostgreSQL."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from servers.private import HOST, PrivateServer, folder_of_its_own, running
from servers.programs import find_program, give_away, parting


class PostgresqlServer(PrivateServer):
    """A PostgreSQL with one superuser, `distconv`, who needs no password."""

    ready_mark = "database system is ready to accept connections"

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        super().__init__(folder)
        self._fsync = fsync
        self._numbers = count(1)
        self._postgres = find_program("postgres", package="postgresql")
        self._psql = find_program("psql", package="postgresql-client")
        initdb = find_program("initdb", package="postgresql")
        give_away(folder)
        subprocess.run(
            [
                *parting(), str(initdb), "--pgdata", str(folder / "data"),
                "--username=distconv", "--auth=trust", "--encoding=UTF8", "--locale=C",
                "--no-sync", "--no-instructions",
            ],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database: `postgresql://distconv@127.0.0.1:PORT/NAME`."""
        return f"postgresql://distconv@{self.address}/{database}"

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"distconv_{os.getpid()}_{next(self._numbers)}"
        self.run_sql(f"CREATE DATABASE {name}")
        return self.url(name)

    def run_sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement with psql and return what it prints, bare."""
        return subprocess.run(
            [str(self._psql), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
             "--set=ON_ERROR_STOP=1", f"--dbname={self.url(database)}",
             f"--command={statement}"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip

    def _argv(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "max_connections": "200",
            "timezone": "UTC",
        }
        if not self._fsync:
            # Faster, and safe against everything but the loss of the machine's power:
            # a killed server's writes are in the page cache. synchronous_commit stays
            # on, without it a SIGKILL loses what was promised.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        data = str(self.folder / "data")
        return [str(self._postgres), "-D", data, "-p", str(self.port), *options]


@contextmanager
def postgresql_server(*, fsync: bool = True) -> Iterator[PostgresqlServer]:
    """Run a PostgreSQL while the block lasts; `fsync=False` for tests of logic alone."""
    with folder_of_its_own() as folder, running(PostgresqlServer(folder, fsync=fsync)) as server:
        yield server
