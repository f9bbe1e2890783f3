"""Uploads and downloads over loopback beside a bare grpc.aio stream and a plain socket.

Real processes: the SDK in one, distconv-storage in another. The files lie in memory where there is
a folder for that (/dev/shm): what is measured is the data plane, not a disk.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load.bare import send_plainly
from benchmarks.load.media_plane import MediaPlane, media_plane
from benchmarks.load.processes import Child, CpuMeter, running
from benchmarks.result import Result
from benchmarks.servers import Certificate, make_certificate

SIZE_BYTES = int(os.environ.get("DISTCONV_BENCH_MB", "256")) * 1024 * 1024
ROUNDS = int(os.environ.get("DISTCONV_BENCH_ROUNDS", "3"))
FOLDER = os.environ.get("DISTCONV_BENCH_FOLDER") or (
    "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # a folder within is made
)
STREAMS = (1, 4)
RATIO_BAR = 0.8
# A gigabit line carries so much.
LINE_BAR = 110.0
_MB = 1e6
_GB = 1e9


@dataclass(frozen=True, slots=True)
class Measured:
    """Speed, MB/s, and processor time of each process, s per GB, of one side; one item a round."""

    speeds: list[float] = field(default_factory=list)
    cpu: list[dict[str, float]] = field(default_factory=list)

    def add(self, size_bytes: int, took_s: float, cpu_s: dict[str, float]) -> None:
        """Note a round."""
        self.speeds.append(size_bytes / _MB / took_s)
        self.cpu.append({name: used / (size_bytes / _GB) for name, used in cpu_s.items()})

    @property
    def speed(self) -> float:
        """Return the median speed, MB/s."""
        return statistics.median(self.speeds)

    def cpu_s_per_gb(self) -> dict[str, float]:
        """Return the median of each process's."""
        names = self.cpu[0]
        return {name: round(statistics.median(c[name] for c in self.cpu), 3) for name in names}


@dataclass(frozen=True, slots=True)
class Bare:
    """A bare stream: both ends, running."""

    server: Child
    client: Child
    socket_port: int  # of the server's plain socket

    def move(self, what: str, streams: int, measured: Measured) -> None:
        """Move as much as the files are."""
        meter = CpuMeter({"client": self.client.process, "server": self.server.process})
        self.client.tell(do=what, size_bytes=SIZE_BYTES, streams=streams)
        said = self.client.expect("done", timeout_s=600)
        measured.add(SIZE_BYTES * streams, said["took_s"], meter.stop())


class Ours:
    """distconv: a client and storage, running."""

    def __init__(self, plane: MediaPlane, client: Child) -> None:
        self._plane = plane
        self._client = client

    def upload(self, files: list[Path], measured: Measured) -> list[str]:
        """Upload files at once; return the objects."""
        return self._move({"do": "upload", "files": [str(f) for f in files]}, len(files), measured)

    def download(self, objects: list[str], measured: Measured) -> None:
        """Fetch objects at once, and delete them."""
        self._move({"do": "download", "objects": objects}, len(objects), measured)

    def _move(self, what: dict[str, object], streams: int, measured: Measured) -> list[str]:
        meter = CpuMeter({"client": self._client.process, "storage": self._plane.storage.process})
        self._client.tell(**what)
        said = self._client.expect("done", timeout_s=600)
        measured.add(SIZE_BYTES * streams, said["took_s"], meter.stop())
        return list(said["objects"])


def run() -> Iterator[Result]:
    """Yield the speed of each way, in the clear and with TLS, on one stream and on four."""
    with tempfile.TemporaryDirectory(prefix="distconv-bench-", dir=FOLDER) as name:
        folder = Path(name)
        source = folder / "source"
        with source.open("wb") as file:
            for _ in range(SIZE_BYTES // (1024 * 1024)):
                file.write(os.urandom(1024 * 1024))
        for security, certificate in (("clear", None), ("tls", make_certificate(folder))):
            yield from _measured(folder / security, security, source, certificate)


def _measured(
    folder: Path, security: str, source: Path, certificate: Certificate | None
) -> Iterator[Result]:
    folder.mkdir()
    ours = {(what, n): Measured() for what in ("upload", "download") for n in STREAMS}
    tuned = {key: Measured() for key in ours}
    untuned = {key: Measured() for key in ours}
    working = {key: Measured() for key in ours}
    plain: list[float] = []
    with ExitStack() as stack:
        distconv = _start(stack, folder, certificate)
        references = [
            (_bare(stack, folder, certificate, "--tuned"), tuned),
            (_bare(stack, folder, certificate), untuned),
            (_bare(stack, folder, certificate, "--tuned", "--working", str(source)), working),
        ]
        port = references[0][0].socket_port
        for _ in range(ROUNDS):
            plain.append(SIZE_BYTES / _MB / send_plainly(port, SIZE_BYTES))
            for n in STREAMS:
                for bare, measured in references:
                    bare.move("upload", n, measured["upload", n])
                objects = distconv.upload([source] * n, ours["upload", n])
                for bare, measured in references:
                    bare.move("download", n, measured["download", n])
                distconv.download(objects, ours["download", n])
    for (what, n), found in ours.items():
        details = {
            "values": found.speeds,
            "cpu_s_per_gb": found.cpu_s_per_gb(),
            "untuned_references": untuned[what, n].speeds,
            "plain_socket_mb_per_s": statistics.median(plain),
            "size_bytes": SIZE_BYTES,
            "streams": n,
            "folder": FOLDER or tempfile.gettempdir(),
        }
        yield _beside(
            f"transfer-{security}-{what}-{n}",
            found,
            tuned[what, n],
            {**details, "reference_is": "a bare grpc.aio stream of as long chunks, tuned as ours"},
        )
        if n == 1:  # its one thread is not steady with several: 240 to 670 MB/s from run to run
            yield _beside(
                f"transfer-work-{security}-{what}",
                found,
                working[what, n],
                {**details, "reference_is": "the same, which reads, checks, digests and writes"},
            )
        if security == "tls" and n == 1:
            yield Result(
                name=f"transfer-line-{what}",
                value=found.speed,
                unit="MB/s",
                reference=LINE_BAR,
                bar=LINE_BAR,
                bar_on_ratio=False,
                higher_is_better=True,
                details=details,
            )


def _beside(name: str, ours: Measured, bare: Measured, details: Mapping[str, object]) -> Result:
    return Result(
        name=name,
        value=ours.speed,
        unit="MB/s",
        reference=bare.speed,
        bar=RATIO_BAR,
        bar_on_ratio=True,
        higher_is_better=True,
        details={
            **details,
            "references": bare.speeds,
            "reference_cpu_s_per_gb": bare.cpu_s_per_gb(),
        },
    )


def _start(stack: ExitStack, folder: Path, certificate: Certificate | None) -> Ours:
    trusted = () if certificate is None else ("--ca", str(certificate.cert))
    plane = stack.enter_context(media_plane(folder, engine=False, tls=certificate))
    client = stack.enter_context(running(Child.python(
        "benchmarks.load.transfer",
        *("--address", plane.address, "--folder", str(folder), *trusted),
        log=folder / "bench.log",
    )))  # fmt: skip
    client.expect("ready")
    return Ours(plane, client)


def _bare(stack: ExitStack, folder: Path, certificate: Certificate | None, *tuning: str) -> Bare:
    log = folder / "bench.log"
    shown: tuple[str, ...] = ()
    trusted: tuple[str, ...] = ()
    if certificate is not None:
        shown = ("--cert", str(certificate.cert), "--key", str(certificate.key))
        trusted = ("--ca", str(certificate.cert))
    module = "benchmarks.load.bare"
    server = stack.enter_context(running(Child.python(module, *shown, *tuning, log=log)))
    ready = server.expect("ready")
    client = stack.enter_context(running(Child.python(
        module, "--address", str(ready["address"]), *trusted, *tuning, log=log
    )))  # fmt: skip
    client.expect("ready")
    return Bare(server, client, int(ready["socket"]))
