"""One probing child, seen from the process that asks it."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from distconv.core.errors import CorruptSourceError, MediaError, UnsupportedSourceError
from distconv.core.media import MediaCensus
from distconv.media.child import Child, start
from distconv.media.finish import Picture
from distconv.media.pipes import PipeReader, PipeWriter, open_pipe
from distconv.media.ports import Buffer, RangedSource
from distconv.media.probe import wire
from distconv.media.probe.answers import cover_pictures, media_census
from distconv.media.sandbox import Limits, Sandbox

# It writes nothing, and 2 GiB of address space is far above what demuxing and
# one decoded 8K frame take: a hostile index cannot eat the machine.
CHILD_LIMITS = Limits(file_size_bytes=0, open_files=64, memory_bytes=2 << 30)
_CHILD_ARGV = (sys.executable, "-I", "-m", "distconv.media.probe.child")
_MAX_READ_BYTES = 4 << 20


class ProbeSession:
    """A started child. Use it for one source, then close it: nothing of a hostile one survives."""

    def __init__(self, child: Child, stdin: PipeWriter, stdout: PipeReader) -> None:
        self._child = child
        self._stdin = stdin
        self._stdout = stdout
        self._ready = False

    @classmethod
    def start(cls, sandbox: Sandbox, limits: Limits = CHILD_LIMITS) -> Self:
        """Start a child; it is ready about 130 ms later, and may be used before."""
        command = sandbox.confine(_CHILD_ARGV, limits=limits)
        with ExitStack() as theirs:
            stdin_r, stdin_w = open_pipe()
            theirs.callback(os.close, stdin_r)
            stdout_r, stdout_w = open_pipe()
            theirs.callback(os.close, stdout_w)
            devnull = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            theirs.callback(os.close, devnull)
            writer, reader = PipeWriter(stdin_w), PipeReader(stdout_r)
            try:
                child = start(command, stdin=stdin_r, stdout=stdout_w, stderr=devnull)
            except BaseException:
                writer.close()
                reader.close()
                raise
        return cls(child, writer, reader)

    @property
    def pid(self) -> int:
        """Return the child's process id."""
        return self._child.pid

    async def close(self) -> None:
        """End the child and wait until it is gone; harmless when repeated."""
        try:
            await self._child.kill()
        finally:
            self._stdin.close()
            self._stdout.close()

    async def ready(self) -> None:
        """Wait until the child has imported what it needs; raise MediaError when it could not."""
        if self._ready:
            return
        try:
            kind, _ = await self._read_frame()
        except EOFError as error:
            raise MediaError(
                "the probing process did not start: is PyAV there (distconv[media])?"
            ) from error
        self._ready = kind == wire.READY

    async def probe(self, source: RangedSource) -> dict[str, Any]:
        """Have the child describe a source; return its plain answer."""
        await self.ready()
        request = {"size_bytes": source.size_bytes, "formats": wire.SAFE_FORMATS}
        await self._send(wire.PROBE, json.dumps(request).encode())
        while True:
            kind, payload = await self._read_answer()
            if kind != wire.READ:
                return json.loads(payload)  # type: ignore[no-any-return]
            offset, length = wire.RANGE.unpack(payload)
            data = await source.read(offset, min(length, _MAX_READ_BYTES))
            await self._send(wire.DATA, data)

    async def count_file(self, path: Path, container: str | None = None) -> "Counted":
        """Have the child count a file: a finished one of ours, or a source of a known container."""
        await self.ready()
        # absolute: the child's folder is another
        request = {
            "path": str(path.absolute()),  # noqa: ASYNC240 - touches no disk
            "format": container,
            "formats": wire.SAFE_FORMATS,
        }
        await self._send(wire.CENSUS_FILE, json.dumps(request).encode())
        _, payload = await self._read_answer()
        size = await asyncio.to_thread(lambda: path.stat().st_size)
        answer = json.loads(payload)
        return Counted(
            census=media_census(answer, read_bytes=size), pictures=cover_pictures(answer)
        )

    async def begin_census(self, container: str) -> "StreamedCensus":
        """Have the child count a stream that the caller then writes."""
        await self.ready()
        request = {"format": container, "formats": wire.SAFE_FORMATS}
        await self._send(wire.CENSUS_STREAM, json.dumps(request).encode())
        return StreamedCensus(self)

    async def write_raw(self, data: Buffer) -> None:
        """Write a piece of a stream under census."""
        await self._stdin.write(data)

    async def end_raw(self) -> dict[str, Any]:
        """End a stream under census and return the plain answer."""
        self._stdin.close()
        _, payload = await self._read_answer()
        return json.loads(payload)  # type: ignore[no-any-return]

    async def _send(self, kind: int, payload: bytes) -> None:
        try:
            await self._stdin.write(wire.frame(kind, payload))
        except BrokenPipeError as error:
            raise await self._crashed() from error

    async def _read_answer(self) -> tuple[int, bytes]:
        try:
            kind, payload = await self._read_frame()
        except EOFError as error:
            raise await self._crashed() from error
        if kind == wire.FAILURE:
            raise _failure(json.loads(payload))
        if kind not in (wire.READ, wire.RESULT):
            raise CorruptSourceError("the prober's answer makes no sense")
        return kind, payload

    async def _read_frame(self) -> tuple[int, bytes]:
        kind, length = wire.HEADER.unpack(await self._stdout.read_exactly(wire.HEADER.size))
        if length > wire.MAX_FRAME_BYTES:
            raise CorruptSourceError("the prober's answer is too large: too many streams or tags")
        return kind, await self._stdout.read_exactly(length)

    async def _crashed(self) -> CorruptSourceError:
        ended = await self._child.kill()
        return CorruptSourceError(
            f"the probing process ended with code {ended.code} while it read the file: "
            "the file is damaged or hostile",
            metadata={"exit_code": str(ended.code)},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """A file's census, and its cover pictures by their streams' indices."""

    census: MediaCensus
    pictures: Mapping[int, Picture]


class StreamedCensus:
    """Count a stream piece by piece; a child that dies is reported at the end.

    `pictures` are the cover pictures by their streams' indices, once finished.
    """

    def __init__(self, session: ProbeSession) -> None:
        self._session = session
        self._broken = False
        self._bytes = 0
        self.pictures: dict[int, Picture] = {}

    async def write(self, data: Buffer) -> None:
        """Give the next piece."""
        self._bytes += len(data)
        if not self._broken:
            with contextlib.suppress(BrokenPipeError):
                await self._session.write_raw(data)
                return
            self._broken = True

    async def finish(self) -> MediaCensus:
        """End the stream and return what was counted.

        Raises CorruptSourceError when nothing could be made of it.
        """
        answer = await self._session.end_raw()
        self.pictures = cover_pictures(answer)
        return media_census(answer, read_bytes=self._bytes)


def _failure(raw: dict[str, str]) -> MediaError:
    kind, message = str(raw.get("kind", "")), str(raw.get("message", ""))
    if kind == "InvalidDataError":
        return CorruptSourceError("the file is no video or sound that can be read, or is damaged")
    if kind in ("PermissionError", "ArgumentError", "ValueError", "DemuxerNotFoundError"):
        return UnsupportedSourceError(
            "the file is no video or sound of a kind that is read (a still picture, perhaps)"
        )
    return CorruptSourceError(f"the file cannot be read: {message}")
