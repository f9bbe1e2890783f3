"""Three machines in one: network namespaces on a switch, with links of a given rate.

`hub` is where the servers are; `client` and `engine` have a link to it each. Nothing is emulated
but the rate (tc's tbf): delay is what the queue of a full link makes, as on a line.

Servers listen on loopback only, because callers show no credentials yet. So that they can be
reached from the other namespaces as they are, the wire carries 127.77.0.0/24: within these
namespaces lo has 127.0.0.1 alone, and `route_localnet` lets the kernel send the rest of 127/8 over
the wire.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ADDRESSES = {"hub": "127.77.0.1", "client": "127.77.0.2", "engine": "127.77.0.3"}
_PREFIX = "distconv-bench"
# What tbf lets through at once, bytes (a whole segment of a virtual link is up to 64 KiB), and how
# long it keeps what is more. Both are those of an ordinary access router.
_BURST_BYTES = 64 * 1024
_QUEUE_MS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates of the links, Mbit/s; `upload` and `download` are the client's, `engine` both ways."""

    upload: float
    download: float
    engine: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """Namespaces that exist; `names` are the kernel's for `hub`, `client` and `engine`."""

    names: Mapping[str, str]
    processors: Mapping[str, frozenset[int]]

    def command(self, place: str, *argv: str | Path) -> list[str]:
        """Return the command that runs `argv` there, on that machine's own processors."""
        chosen = ",".join(map(str, sorted(self.processors[place])))
        return [
            *("ip", "netns", "exec", self.names[place], "taskset", "--cpu-list", chosen),
            *map(str, argv),
        ]

    def carried(self) -> dict[str, int]:
        """Return the bytes, headers included, that each link has carried each way so far."""
        found: dict[str, int] = {}
        for place in ("client", "engine"):
            said = _ip("-s", "-j", "link", "show", "dev", "wire", within=self.names[place])
            stats = json.loads(said)[0]["stats64"]
            found[f"from_{place}"] = stats["tx"]["bytes"]
            found[f"to_{place}"] = stats["rx"]["bytes"]
        return found


@contextlib.contextmanager
def shaped_network(rates: Rates) -> Iterator[Network]:
    """Have the namespaces while the block lasts. Raises SystemExit where that is impossible."""
    _require_means()
    _remove_abandoned()
    names = {place: f"{_PREFIX}-{os.getpid()}-{place}" for place in ADDRESSES}
    with contextlib.ExitStack() as stack:
        # SIGTERM is to take the namespaces along, too.
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _end))
        for name in names.values():
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
        hub = names["hub"]
        _ip("link", "add", "wire", "type", "bridge", within=hub)
        for place in ("client", "engine"):
            far_end = ("peer", "name", "wire", "netns", names[place])
            _ip("link", "add", place, "type", "veth", *far_end, within=hub)
            _ip("link", "set", place, "master", "wire", "up", within=hub)
        for place, name in names.items():
            _address(name, ADDRESSES[place])
        _shape(names["client"], "wire", rates.upload)
        _shape(hub, "client", rates.download)
        _shape(names["engine"], "wire", rates.engine)
        _shape(hub, "engine", rates.engine)
        yield Network(names=names, processors=_divided())


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _require_means() -> None:
    missing = [program for program in ("ip", "tc", "taskset") if shutil.which(program) is None]
    if missing:
        raise SystemExit(
            f"this benchmark needs '{missing[0]}'; install iproute2 and util-linux (Linux only)"
        )
    if os.geteuid() != 0:
        raise SystemExit(
            "this benchmark makes network namespaces, which only root may: run it with sudo"
        )


def _remove_abandoned() -> None:
    """Remove the namespaces of benchmarks that were killed."""
    for found in json.loads(_ip("-j", "netns", "list") or "[]"):
        prefix, _, rest = found["name"].rpartition("-")[0].rpartition("-")
        if prefix == _PREFIX and rest.isdecimal() and not Path(f"/proc/{rest}").exists():
            _ip("netns", "del", found["name"])


def _address(name: str, address: str) -> None:
    _ip("link", "set", "lo", "up", within=name)
    # lo comes with all of 127/8, which would keep the others' addresses here.
    _ip("address", "flush", "dev", "lo", within=name)
    _ip("address", "add", "127.0.0.1/32", "dev", "lo", within=name)
    allow = "/proc/sys/net/ipv4/conf/wire/route_localnet"
    _run("ip", "netns", "exec", name, "sh", "-c", f"echo 1 > {allow}")
    _ip("address", "add", f"{address}/24", "dev", "wire", within=name)
    _ip("link", "set", "wire", "up", within=name)


def _shape(name: str, device: str, rate_mbit_s: float) -> None:
    _run(
        *("tc", "-n", name, "qdisc", "add", "dev", device, "root", "tbf"),
        *("rate", f"{rate_mbit_s:g}mbit", "burst", str(_BURST_BYTES), "latency", f"{_QUEUE_MS}ms"),
    )


def _divided() -> dict[str, frozenset[int]]:
    """Give the engine half of the processors, as it has a machine of its own."""
    have = sorted(os.sched_getaffinity(0))
    half = len(have) // 2
    others = frozenset(have[: half or 1])
    return {"hub": others, "client": others, "engine": frozenset(have[half:])}


def _ip(*arguments: str, within: str | None = None) -> str:
    return _run("ip", *(() if within is None else ("-n", within)), *arguments)


def _run(*argv: str) -> str:
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"'{' '.join(argv)}' failed: {ran.stderr.strip()}")
    return ran.stdout


def prefix_of(network: Network) -> dict[str, Sequence[str]]:
    """Return what to put before the commands of the media plane's processes."""
    places = {"storage": "hub", "dispatch": "hub", "engine": "engine", "client": "client"}
    return {process: network.command(place) for process, place in places.items()}
