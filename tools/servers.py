"""Private PostgreSQL, NATS, Redis and S3 servers for tests and benchmarks.

    with postgresql_server() as server:
        url = server.new_database()

Each listens on a free port of 127.0.0.1, keeps everything in a temporary folder,
and is gone with the block; should this process itself be killed, the kernel kills
the servers with it. `kill` is a SIGKILL of every process of the server, `start`
brings it back on the same port and folder: what a crash leaves is what it finds.

All calls block, the longest (`initdb`) for a second or two; an async test calls
them through `asyncio.to_thread`.
"""

import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TypeVar
from urllib.request import Request, urlopen

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 60.0  # recovery of a killed PostgreSQL on a busy machine included
_STOP_TIMEOUT_S = 30.0
_PORT_TRIES = 5  # a port found free may be taken before the server binds it
_KEPT_LOG_LINES = 200

# Where Debian, Red Hat and Homebrew put servers that are not on PATH; the newest version first.
_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/local/bin",
    "/opt/*/bin",
)

# A child's parent-death signal fires when the *thread* that started it ends, so that
# all servers are started by one thread that lives as long as this process.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")


class MissingServerError(Exception):
    """A server's program is not on this machine; the message says what to install."""


class ServerFailedError(Exception):
    """A server did not start; the message ends with its last words."""


def find_program(name: str, *, package: str) -> Path:
    """Return the path of a program; raises MissingServerError naming its Debian package."""
    if found := shutil.which(name):
        return Path(found)
    for pattern in _FOLDERS:
        folders = sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
        for folder in folders:
            if os.access(folder / name, os.X_OK):
                return folder / name
    raise MissingServerError(
        f"{name} is not on PATH nor in the usual folders; "
        f"install it with 'apt-get install {package}'"
    )


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(
        int(part) for part in folder.parent.name.replace("-", ".").split(".") if part.isdigit()
    )


class PrivateServer(ABC):
    """One server process on one port and one folder."""

    ready_mark: str
    """What the server logs once it takes connections."""
    gives_up_root = True
    """Whether it runs as another user when we are root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self._log: deque[str] = deque(maxlen=_KEPT_LOG_LINES)

    @property
    def address(self) -> str:
        """Return host:port."""
        return f"{_HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def log(self) -> str:
        """Return the last lines that the server logged."""
        return "\n".join(self._log)

    @property
    def is_running(self) -> bool:
        """Tell whether the server was started and neither killed nor stopped since."""
        return self._process is not None

    def start(self) -> None:
        """Start, or start again on the same port and folder; return when it takes connections.

        Raises ServerFailedError.
        """
        if self._process is not None:
            return
        if self.port:
            self._start_once()
            return
        for attempt in range(1, _PORT_TRIES + 1):
            self.port = free_port()
            try:
                self._start_once()
            except ServerFailedError:
                self.port = 0
                if attempt == _PORT_TRIES:
                    raise
            else:
                return

    def kill(self) -> None:
        """SIGKILL every process of the server; return when they are gone."""
        if self._process is None:
            return
        _end([self.pid, *_descendants(self.pid)], signal.SIGKILL)
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """Shut the server down in good order; kill it when that takes too long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # PostgreSQL: the fast shutdown
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def freeze(self) -> None:
        """Stop every process of the server without ending it: connections hang, none breaks."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal_all(signal.SIGCONT)

    @abstractmethod
    def _argv(self) -> list[str]: ...

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in [self.pid, *_descendants(self.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _start_once(self) -> None:
        ready = threading.Event()
        process = _spawner.submit(self._spawn).result()
        self._process = process
        threading.Thread(target=self._read_log, args=(process, ready), daemon=True).start()
        if not ready.wait(_START_TIMEOUT_S) or process.poll() is not None:
            self.kill()
            raise ServerFailedError(
                f"{self._argv()[0]} did not start on {self.address}; it said:\n{self.log}"
            )

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_parting(give_up_root=self.gives_up_root), *self._argv()],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def _read_log(self, process: "subprocess.Popen[str]", ready: threading.Event) -> None:
        assert process.stdout is not None  # noqa: S101  # asked for a pipe above
        with process.stdout:
            for line in process.stdout:
                self._log.append(line.rstrip())
                if self.ready_mark in line:
                    ready.set()
        ready.set()  # it ended: whoever waits looks whether it lives


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
        _give_away(folder)
        subprocess.run(
            [
                *_parting(), str(initdb), "--pgdata", str(folder / "data"),
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
            "listen_addresses": _HOST,
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


class NatsServer(PrivateServer):
    """A NATS with JetStream on files."""

    ready_mark = "Server is ready"

    def __init__(self, folder: Path, *, config: str = "") -> None:
        super().__init__(folder)
        self._program = find_program("nats-server", package="nats-server")
        self._config = folder / "nats.conf"
        self._config.write_text(config, encoding="utf-8")
        _give_away(folder)

    @property
    def url(self) -> str:
        """Return `nats://127.0.0.1:PORT`."""
        return f"nats://{self.address}"

    def _argv(self) -> list[str]:
        return [
            str(self._program), "-a", _HOST, "-p", str(self.port),
            "-js", "-sd", str(self.folder / "jetstream"), "-c", str(self._config),
        ]  # fmt: skip


class RedisServer(PrivateServer):
    """A Redis that keeps nothing on disk."""

    ready_mark = "Ready to accept connections"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._program = find_program("redis-server", package="redis-server")
        _give_away(folder)

    @property
    def url(self) -> str:
        """Return `redis://127.0.0.1:PORT/0`."""
        return f"redis://{self.address}/0"

    def _argv(self) -> list[str]:
        return [
            str(self._program), "--bind", _HOST, "--port", str(self.port),
            "--save", "", "--appendonly", "no", "--dir", str(self.folder),
        ]  # fmt: skip


class S3Server(PrivateServer):
    """moto's S3: the real API over HTTP, everything in memory, any credentials do.

    It lists, signs, and keeps conditions and multipart uploads as S3 does; it
    is a development server, so its speed says nothing.
    """

    ready_mark = "Running on"
    gives_up_root = False  # this Python may lie where others cannot read

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if find_spec("moto") is None or find_spec("flask") is None:
            raise MissingServerError(
                "moto is not installed: pip install 'moto[s3]' flask flask-cors"
            )
        self._numbers = count(1)

    @property
    def url(self) -> str:
        """Return `http://127.0.0.1:PORT`."""
        return f"http://{self.address}"

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that hold credentials."""
        return {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}

    def new_bucket(self) -> str:
        """Create an empty bucket and return its name."""
        name = f"media-{os.getpid()}-{next(self._numbers)}"
        request = Request(f"{self.url}/{name}", method="PUT")  # noqa: S310  # our own server
        with urlopen(request, timeout=_STOP_TIMEOUT_S):  # noqa: S310
            return name

    def _argv(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", _HOST, "-p", str(self.port)]


_Server = TypeVar("_Server", bound=PrivateServer)


@contextmanager
def postgresql_server(*, fsync: bool = True) -> Iterator[PostgresqlServer]:
    """Run a PostgreSQL while the block lasts; `fsync=False` for tests of logic alone."""
    with _folder() as folder, _running(PostgresqlServer(folder, fsync=fsync)) as server:
        yield server


@contextmanager
def nats_server(*, config: str = "") -> Iterator[NatsServer]:
    """Run a NATS with JetStream while the block lasts; `config` is the text of its file."""
    with _folder() as folder, _running(NatsServer(folder, config=config)) as server:
        yield server


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a Redis while the block lasts."""
    with _folder() as folder, _running(RedisServer(folder)) as server:
        yield server


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run an S3 while the block lasts."""
    with _folder() as folder, _running(S3Server(folder)) as server:
        yield server


@contextmanager
def _running(server: _Server) -> Iterator[_Server]:
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder in the common temporary folder: pytest's own are shut to other users."""
    path = Path(tempfile.mkdtemp(prefix="distconv-server-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free just now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _user() -> pwd.struct_passwd | None:
    """Return whom a server is to run as; None when we are not root. PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise MissingServerError("there is neither a user 'postgres' nor 'nobody' to run servers as")


def _give_away(folder: Path) -> None:
    if user := _user():
        os.chown(folder, user.pw_uid, user.pw_gid)


def _parting(*, give_up_root: bool = True) -> list[str]:
    """Return what comes before a server's argv: die with us, and give up root."""
    setpriv = shutil.which("setpriv")
    user = _user() if give_up_root else None
    if setpriv is None:
        if user is not None:
            raise MissingServerError("setpriv is not on PATH: 'apt-get install util-linux'")
        return []  # not Linux: without the parent-death signal
    as_user = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"] if user else []
    return [setpriv, "--pdeathsig=KILL", *as_user, "--"]


def _descendants(pid: int) -> list[int]:
    """Return the processes below `pid`: backends of PostgreSQL are in groups of their own."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    children = [int(word) for word in text.split()]
    return [*children, *(below for child in children for below in _descendants(child))]


def _end(pids: Sequence[int], number: signal.Signals) -> None:
    """Signal processes and wait until they are gone, those included that are not our children."""
    handles: list[int] = []
    try:
        for pid in pids:
            with suppress(ProcessLookupError):
                handles.append(os.pidfd_open(pid))
        for handle in handles:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
        for handle in handles:
            select.select([handle], [], [], _STOP_TIMEOUT_S)
    finally:
        for handle in handles:
            os.close(handle)
