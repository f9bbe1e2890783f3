"""Put a finished object together from what was followed, and fetch only what that does not hold."""

from collections.abc import Callable, Iterator

from distconv.client.access import ObjectAccess
from distconv.client.connection import Connection
from distconv.client.partial import PartialFile
from distconv.client.reading import Reading, checked
from distconv.client.stored import StoredObject
from distconv.client.streams import persistently, stall_guard
from distconv.core.errors import UnavailableError, UnsupportedSourceError
from distconv.core.ranges import pieces
from distconv.media.assembly import Assembly, plan_assembly
from distconv.media.ports import FileSource
from distconv.v1 import object_pb2 as pb
from distconv.v1 import storage_service_pb2 as storage

# What is in both is copied so much at once.
_COPY_BYTES = 1024 * 1024
# What describes a file lies close together: few round trips, little that is fetched in vain.
_BLOCK_BYTES = 256 * 1024
# Of a file of which more than this is to be fetched in pieces, fetching it plainly is simpler.
_MAX_FETCHED_BYTES = 128 << 20


async def assemble(
    connection: Connection,
    stored: StoredObject,
    followed: PartialFile,
    target: PartialFile,
    *,
    is_whole: bool,
    on_written: Callable[[], None],
) -> None:
    """Write the object `stored` to `target`, of the stream `followed` that it was finished from.

    `is_whole` says that the stream was followed to its end; what comes behind one that was not is
    read like any object. `on_written` is called when what is here is written, and as more is. It
    is not looked at whether it is the object: `target.commit` does. Raises UnsupportedSourceError
    or CorruptSourceError when the two do not fit together, and what `Reading.run` does.
    """
    access = await ObjectAccess.grant(connection, pb.MEDIA_ACTION_READ, stored.name)
    remote = _RemoteSource(connection, access, stored.size_bytes)
    with FileSource(followed.path) as local:
        assembly = await plan_assembly(local, remote, is_whole=is_whole)
        if assembly.copied_bytes < assembly.scattered_bytes:
            raise UnsupportedSourceError("too little of the finished file is in its stream")
        await target.reserve(stored.size_bytes)
        await _write(assembly, local, remote, target)
    on_written()
    if target.written_bytes < stored.size_bytes:
        patience = connection.patience()
        await Reading(access, patience, target, follow=False, on_written=on_written).run()


async def _write(
    assembly: Assembly, local: FileSource, remote: "_RemoteSource", target: PartialFile
) -> None:
    parts: list[bytes] = []
    waiting_bytes = 0
    for is_local, offset, length in _steps(assembly):
        if is_local:
            parts.append(await local.read(offset, length))
        else:
            parts.append(await remote.read(offset, length))
            remote.forget_before(offset + length)
        waiting_bytes += len(parts[-1])
        if waiting_bytes >= _COPY_BYTES:
            await target.append(parts)
            parts, waiting_bytes = [], 0
    await target.append(parts)


def _steps(assembly: Assembly) -> Iterator[tuple[bool, int, int]]:
    """Yield in the order of the file what is to be read: (here?, offset, length), in blocks.

    Up to the last bytes that are here; what follows them is one piece.
    """
    at = 0
    for copy in assembly.copies:
        for start, end in pieces([(at, copy.target)], _COPY_BYTES):
            yield False, start, end - start
        for start, end in pieces([(copy.source, copy.source + copy.length)], _COPY_BYTES):
            yield True, start, end - start
        at = copy.target + copy.length


class _RemoteSource:
    """A RangedSource over a committed object: fetched in blocks, each once."""

    def __init__(self, connection: Connection, access: ObjectAccess, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._fetched_bytes = 0
        self._access = access
        self._patience = connection.patience()
        self._blocks: dict[int, bytes] = {}

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range, fewer at the end."""
        end = min(offset + length, self.size_bytes)
        first, last = offset // _BLOCK_BYTES, (end - 1) // _BLOCK_BYTES
        missing = [n for n in range(first, last + 1) if n not in self._blocks]
        if missing:
            await self._fetch(missing[0], missing[-1])
        held = b"".join(self._blocks[n] for n in range(first, last + 1))
        return held[offset - first * _BLOCK_BYTES : end - first * _BLOCK_BYTES]

    def forget_before(self, offset: int) -> None:
        """Hold nothing of what lies before: it is not asked for again."""
        for number in [n for n in self._blocks if (n + 1) * _BLOCK_BYTES <= offset]:
            del self._blocks[number]

    async def _fetch(self, first: int, last: int) -> None:
        start, end = first * _BLOCK_BYTES, min((last + 1) * _BLOCK_BYTES, self.size_bytes)
        self._fetched_bytes += end - start
        if self._fetched_bytes > _MAX_FETCHED_BYTES:
            raise UnsupportedSourceError("too much of the finished file is not in its stream")
        data = await persistently(self._access, self._patience, lambda: self._range(start, end))
        for at in range(0, len(data), _BLOCK_BYTES):
            self._blocks[(start + at) // _BLOCK_BYTES] = data[at : at + _BLOCK_BYTES]

    async def _range(self, start: int, end: int) -> bytes:
        request = storage.ReadRequest(
            object=self._access.object, range=pb.ByteRange(offset=start, length=end - start)
        )
        found: list[bytes] = []
        expected = start
        with self._access.translated():
            call = self._access.stub.Read(iter([request]), metadata=tuple(self._access.metadata))
            try:
                async with stall_guard("download") as guard:
                    async for response in call:
                        guard.moved()
                        if response.HasField("chunk"):
                            found.append(checked(response.chunk, expected))
                            expected += len(found[-1])
            finally:
                call.cancel()
        if expected != end:
            raise UnavailableError("the stream of the download ended before everything was there")
        return b"".join(found)
