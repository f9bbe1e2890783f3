"""dispatch, storage and an engine as processes of their own, a relay before storage if wanted."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load.processes import Child
from benchmarks.load.relay import Relay
from benchmarks.servers import Certificate, free_port

Settings = Mapping[str, Mapping[str, object]]
"""Settings by the process that they are for: storage, dispatch or engine."""

_BIN = Path(sys.executable).parent
_START_S = 120.0
# Nothing of the machine may choose a setting.
_ENV = {key: value for key, value in os.environ.items() if not key.startswith("DISTCONV_")}
# Lost engines and failed attempts are to cost seconds here, not the default's many.
_IMPATIENT: Settings = {
    "dispatch": {
        "heartbeat_interval_s": 1.0,
        "lease_duration_s": 5.0,
        "retry_first_delay_s": 0.2,
    }
}
_NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the processes are: `host` is what the servers listen on.

    `before` is what to put before the commands of `storage`, `dispatch`, `engine` and `client`.
    """

    host: str = "127.0.0.1"
    before: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def command(self, process: str, *argv: str | Path) -> list[str]:
        """Return the command that runs `argv` where that process is."""
        return [*self.before.get(process, ()), *map(str, argv)]


_HERE = Site()


class Daemon:
    """One of the installed daemons: killed and started again on the same folder and port."""

    def __init__(
        self, name: str, folder: Path, config: Path, site: Site, env: Mapping[str, str]
    ) -> None:
        self._argv = site.command(
            name,
            *(_BIN / f"distconv-{name}", "--config", config),
            *("--data-dir", folder / name, "--exit-on-stdin-eof"),
        )
        self.log = folder / f"{name}.log"
        self._env = env
        self._child: Child | None = None

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._child = Child(self._argv, log=self.log, env=self._env)
        self._child.expect("ready", timeout_s=_START_S)

    def kill(self) -> None:
        """SIGKILL it, its children too, as a machine takes them along."""
        below = self.process.children(recursive=True)
        self.child.kill()
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def stop(self) -> None:
        """End it, if it runs."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    @property
    def child(self) -> Child:
        """Return it as it runs."""
        assert self._child is not None
        return self._child

    @property
    def process(self) -> psutil.Process:
        """Return its process."""
        return self.child.process


class MediaPlane:
    """The three daemons; `relay`, if there is one, is what clients and engines know of storage."""

    def __init__(
        self,
        folder: Path,
        relay: Relay | None,
        port: int,
        tls: Certificate | None,
        *,
        site: Site,
        settings: Settings,
        env: Mapping[str, str],
    ) -> None:
        config = folder / "distconv.toml"
        ports = free_port()
        self.folder = folder
        self.relay = relay
        self.address = f"{site.host}:{ports}"
        self._tls = tls
        self._site = site
        self._env = {**_ENV, "XDG_STATE_HOME": str(folder / "state")}
        storage = f"{site.host}:{port}"
        behind = relay.address if relay is not None else storage
        config.write_text(_config(folder, storage, self.address, behind, tls, settings))
        env = {**_ENV, **env}
        self.storage = Daemon("storage", folder, config, site, env)
        self.dispatch = Daemon("dispatch", folder, config, site, env)
        self.engine = Daemon("engine", folder, config, site, env)

    def start_dcctl(
        self, *arguments: str | Path, beside: str = "client"
    ) -> "subprocess.Popen[str]":
        """Start dcctl where the process `beside` is; read its output with `communicate`."""
        trust = () if self._tls is None else ("--tls-ca", str(self._tls.cert))
        return subprocess.Popen(
            self._site.command(
                beside, _BIN / "dcctl", *arguments, "--server", self.address, *trust
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self._env,
        )

    def dcctl(self, *arguments: str | Path, within_s: float = 300.0, beside: str = "client") -> Any:
        """Run dcctl with --json to its end and return what it said. Raises RuntimeError."""
        run = self.start_dcctl(*arguments, "--json", beside=beside)
        code, out, err = finished(run, within_s=within_s)
        if code:
            raise RuntimeError(f"dcctl {arguments[0]} ended with {code}: {out}{err}")
        return json.loads(out) if out else None


def finished(run: "subprocess.Popen[str]", *, within_s: float = 300.0) -> tuple[int, str, str]:
    """Wait for the end of a dcctl; return its exit code, output and error output."""
    try:
        out, err = run.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        run.kill()
        out, err = run.communicate()
        raise RuntimeError(f"dcctl did not end within {within_s:g} s: {out}{err}") from None
    return run.returncode, out, err


@contextlib.contextmanager
def media_plane(
    folder: Path,
    *,
    relayed: bool = False,
    engine: bool = True,
    tls: Certificate | None = None,
    site: Site = _HERE,
    settings: Settings = _IMPATIENT,
    env: Mapping[str, str] = _NOTHING,
) -> Iterator[MediaPlane]:
    """Run the daemons in `folder` while the block lasts; `settings` are those of each.

    `env` are variables of theirs: an object store's credentials, say.
    """
    with contextlib.ExitStack() as stack:
        port = free_port()
        relay = stack.enter_context(Relay(port)) if relayed else None
        plane = MediaPlane(folder, relay, port, tls, site=site, settings=settings, env=env)
        daemons: Sequence[Daemon] = (plane.storage, plane.dispatch, plane.engine)
        for daemon in daemons if engine else daemons[:-1]:
            stack.callback(daemon.stop)
            daemon.start()
        yield plane


def _config(
    folder: Path,
    storage: str,
    dispatch: str,
    behind: str,
    tls: Certificate | None,
    settings: Settings,
) -> str:
    key_file = folder / "media.key"
    key_file.write_bytes(os.urandom(32))
    shown = {} if tls is None else {"tls_cert": str(tls.cert), "tls_key": str(tls.key)}
    trusted = {} if tls is None else {"tls_ca": str(tls.cert)}
    tables: dict[str, dict[str, object]] = {
        "storage": {"bind": storage, "media_key_file": str(key_file), **shown},
        "dispatch": {
            "bind": dispatch,
            "media_key_file": str(key_file),
            "storage_addresses": [behind],
            **shown,
            **trusted,
        },
        "engine": {"dispatch_addresses": [dispatch], "benchmark_budget_s": 0, **trusted},
    }
    for name, more in settings.items():
        tables[name].update(more)
    # TOML writes texts, numbers and lists of them as JSON does.
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )
