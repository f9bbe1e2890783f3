"""Send pieces of an output through storage, and what is not acknowledged again after a break."""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import google_crc32c
import grpc.aio

from distconv.core.errors import DistconvError, UnavailableError
from distconv.engine.storage_link import Patience, StorageLink
from distconv.rpc.chunk_messages import write_request
from distconv.rpc.limits import CHUNK_BYTES
from distconv.rpc.pacing import Pacer
from distconv.rpc.window import Window
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb

if TYPE_CHECKING:
    WriteCall = grpc.aio.StreamStreamCall[bytes, pb.WriteResponse]

# Storage tells of every chunk that it has written: one that does not has lost a word, or is dead.
_SILENCE_S = 60.0


class _Chunk(NamedTuple):
    offset: int
    data: bytes
    crc32c: int


class WriteStream:
    """A Carrier over StorageService.Write; it begins at once.

    Holds what storage has not acknowledged, as the window bounds it, and sends it
    again after a break.
    """

    def __init__(
        self,
        link: StorageLink,
        upload: str,
        window: Window,
        *,
        held: Iterable[tuple[int, bytes]] = (),
    ) -> None:
        """`held` comes first: pieces that count in the window already."""
        self._link = link
        self._upload = upload
        self._window = window
        self._held: deque[_Chunk] = deque()  # in the order they came, not acknowledged
        self._next = 0  # index in _held of the next chunk to send on this stream
        self._moved = asyncio.Event()
        self._finished = False
        for piece in held:
            self.add(*piece)
        self._pump = asyncio.create_task(self._run(), name="storage write")

    async def put(self, offset: int, data: bytes) -> None:
        """Take a piece, at most as long as a chunk, waiting while the window is full.

        Raises the tree's errors.
        """
        await self._window.take(len(data))
        self.add(offset, data)

    def add(self, offset: int, data: bytes) -> None:
        """Take a piece that counts in the window already."""
        self._held.append(_Chunk(offset, data, google_crc32c.value(data)))
        self._moved.set()

    async def finish(self) -> None:
        """Send the rest, and wait until all is acknowledged. Raises the tree's errors."""
        self._finished = True
        self._moved.set()
        await self._pump
        self._window.check()

    async def close(self) -> None:
        """Send no more."""
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)

    async def _run(self) -> None:
        patience = Patience(self._link)
        try:
            while not (self._finished and not self._held):
                try:
                    await self._forget_received()
                    await self._stream(patience)
                except DistconvError as error:
                    await patience.lose(error)
        except Exception as error:  # noqa: BLE001  # whoever puts has to hear of it
            self._window.fail(error)

    async def _forget_received(self) -> None:
        if not self._held:
            return
        with self._link.translated():
            answer = await self._link.stub.GetUpload(
                pb.GetUploadRequest(name=self._upload), metadata=self._link.metadata, timeout=20
            )
        self._acknowledge(answer.upload.received)
        self._next = 0

    async def _stream(self, patience: Patience) -> None:
        pacer = Pacer(largest_chunk_bytes=CHUNK_BYTES)  # as long as they are put here
        call = self._link.write_method(metadata=self._link.metadata)
        try:
            async with asyncio.timeout(None) as silence:
                sending = asyncio.create_task(self._send(call, pacer, silence))
                try:
                    with self._link.translated():
                        while isinstance(response := await call.read(), pb.WriteResponse):
                            patience.reset()
                            pacer.written(response.written_bytes)
                            self._acknowledge(response.acknowledged)
                            _expect(silence, something=bool(self._held))
                        await sending
                finally:
                    sending.cancel()
                    call.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
        except TimeoutError as error:
            raise UnavailableError(
                f"storage at {self._link.address} said nothing for {_SILENCE_S:g} s"
            ) from error
        except asyncio.InvalidStateError as error:
            raise UnavailableError(f"storage at {self._link.address} ended the stream") from error
        if self._held or not self._finished:
            raise UnavailableError(f"storage at {self._link.address} ended the stream early")

    async def _send(self, call: "WriteCall", pacer: Pacer, silence: asyncio.Timeout) -> None:
        first = pb.WriteRequest(upload=self._upload, report_written=True)
        await call.write(first.SerializeToString())
        while True:
            while self._next < len(self._held):
                held = self._held[self._next]
                await pacer.acquire(len(held.data))
                self._next += 1
                await call.write(write_request(held.offset, held.data, held.crc32c))
                _expect(silence, something=True)
            if self._finished:
                await call.done_writing()
                return
            self._moved.clear()
            await self._moved.wait()

    def _acknowledge(self, ranges: Sequence[object_pb2.ByteRange]) -> None:
        if not ranges:
            return
        kept: deque[_Chunk] = deque()
        sent = 0
        for position, held in enumerate(self._held):
            end = held.offset + len(held.data)
            if any(r.offset <= held.offset and end <= r.offset + r.length for r in ranges):
                self._window.release(len(held.data))
            else:
                kept.append(held)
                sent += position < self._next
        self._held, self._next = kept, sent


def _expect(silence: asyncio.Timeout, *, something: bool) -> None:
    """Say whether storage owes a word from now on."""
    now = asyncio.get_running_loop().time()
    silence.reschedule(now + _SILENCE_S if something else None)
