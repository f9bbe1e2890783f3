"""The two ways of a source through the tool: streamed through pipes, or as a file on disk."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from distconv.core.errors import DataLossError
from distconv.engine.checked_source import CheckedSource
from distconv.engine.fetching import fetch
from distconv.engine.runner.teller import Teller
from distconv.engine.scratch import scratch_errors
from distconv.engine.sink import StorageSink
from distconv.engine.spool import OutputSpool
from distconv.engine.transcoder import Encoded, Plan
from distconv.media.child import uncancelled
from distconv.media.probe.prober import WarmProber


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What both ways need: the plan, both ends at storage, and who is told."""

    plan: Plan
    source: CheckedSource
    sink: StorageSink
    prober: WarmProber
    teller: Teller
    stall_timeout_s: float
    read_ahead_bytes: int


async def streamed(way: Way) -> Encoded:
    """Encode from storage to storage through pipes; nothing touches the disk."""
    await way.sink.open(way.plan.container)
    encoded = await way.plan.run(
        way.source,
        way.sink,
        prober=way.prober,
        stall_timeout_s=way.stall_timeout_s,
        read_ahead_bytes=way.read_ahead_bytes,
        on_report=lambda report: way.teller.encoding(report, way.sink.written_bytes),
    )
    _check_source(encoded, await way.source.settle())
    way.teller.finishing()
    return encoded


async def by_file(way: Way, folder: Path, *, room_bytes: int) -> Encoded:
    """Download the source, encode it, check the output, then send that.

    All of it lies in `folder`, which is made for it and gone afterwards, and
    takes `room_bytes` at most: of an output that is larger the rest is streamed.
    A source that lies in a shared folder is read there and not downloaded; what
    lies there is compared with what was committed once the tool has read it.
    """
    async with _own(folder):
        source = way.source.path or folder / "source"
        if way.source.path is None:
            await fetch(
                way.source,
                source,
                read_ahead_bytes=way.read_ahead_bytes,
                on_read=way.teller.fetching,
            )
        spool = OutputSpool(
            way.sink,
            folder / "output",
            room_bytes=max(room_bytes - way.source.size_bytes, 0),
            begin=lambda: way.sink.open(way.plan.container),
        )
        try:
            encoded = await way.plan.run_file(
                source,
                spool,
                prober=way.prober,
                stall_timeout_s=way.stall_timeout_s,
                on_report=lambda report: way.teller.encoding(report, spool.written_bytes),
            )
            way.teller.finishing()
            if way.source.path is not None:
                await way.source.settle_whole()
            await spool.send()
        finally:
            spool.close()
        return encoded


@asynccontextmanager
async def _own(folder: Path) -> AsyncIterator[None]:
    """Make a folder, and remove it whatever happens."""
    with scratch_errors("the attempt"):
        await asyncio.to_thread(folder.mkdir, mode=0o700)
    try:
        yield
    finally:
        await uncancelled(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


def _check_source(encoded: Encoded, sha256: str) -> None:
    """Raise DataLossError when what was fed is not what was committed."""
    if encoded.source_sha256 is not None and encoded.source_sha256 != sha256:
        raise DataLossError(
            f"what was fed has the SHA-256 {encoded.source_sha256[:12]}…, the source as it was "
            f"committed {sha256[:12]}…; encode it again"
        )
