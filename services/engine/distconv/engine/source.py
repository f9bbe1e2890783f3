"""Read a source from storage, which may still be uploaded: many ranges on one stream, in order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import grpc.aio

from distconv.core.errors import (
    DataLossError,
    DistconvError,
    UnavailableError,
    UploadFailedError,
)
from distconv.engine.storage_link import Patience, StorageLink
from distconv.media.ports import RangedSource
from distconv.rpc.convert.object import intact_data
from distconv.rpc.limits import CHUNK_BYTES
from distconv.rpc.pacing import Pacer
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb

# A reader that waits for an upload is told every 5 s that it does so rightly: a stream that is
# silent for so long, on a slow line too, is dead.
_SILENCE_S = 60.0


class Source(RangedSource, Protocol):
    """A source of an attempt."""

    @property
    def path(self) -> Path | None:
        """Return the file that it is here; None when it is none."""
        ...

    @property
    def waited(self) -> timedelta:
        """Return how long something that was asked for was awaited of an upload under way."""
        ...

    async def settle(self) -> str:
        """Wait until the source is committed; return its SHA-256, in hexadecimal digits."""
        ...

    async def close(self) -> None:
        """Let go; reads that wait fail."""
        ...


@dataclass(slots=True)
class _Want:
    """A range that was asked for, when (monotonic, s), and what came of it so far."""

    offset: int
    length: int
    done: "asyncio.Future[bytes]"
    asked: float
    parts: list[bytes] = field(default_factory=list)
    received: int = 0


class _Stream:
    """A stream of reads; one that is silent while something is due ends."""

    def __init__(
        self,
        call: "grpc.aio.StreamStreamCall[pb.ReadRequest, pb.ReadResponse]",
        timeout: asyncio.Timeout,
    ) -> None:
        self.call = call
        self._timeout = timeout

    async def ask(self, request: pb.ReadRequest) -> None:
        """Send a request."""
        await self.call.write(request)
        self.expect(something=True)

    async def read(self) -> pb.ReadResponse | None:
        """Return the next response, None at the end."""
        response = await self.call.read()
        self.expect(something=True)
        return response if isinstance(response, pb.ReadResponse) else None

    def expect(self, *, something: bool) -> None:
        """Say whether anything is due from now on."""
        now = asyncio.get_running_loop().time()
        self._timeout.reschedule(now + _SILENCE_S if something else None)


class StorageSource:
    """A RangedSource over StorageService.Read.

    Memory is bounded by the ranges that the caller has outstanding. A break is
    healed within the link's patience: only what is missing is asked for again.
    A source that is still being uploaded is followed: a read waits until its
    bytes have arrived, however long that takes. All that is read is of one
    upload: that of the first answer.
    """

    path: Path | None = None  # it lies in no file here

    def __init__(self, link: StorageLink, size_bytes: int) -> None:
        self._link = link
        self.size_bytes = size_bytes
        self._wants: deque[_Want] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._unsent: deque[_Want] = deque()
        self._object = object_pb2.Object()
        self._waited_s = 0.0
        self._counted = 0.0  # until when waits are counted, monotonic

    @property
    def waited(self) -> timedelta:
        """Return how long something that was asked for was awaited of an upload under way."""
        return timedelta(seconds=self._waited_s)

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range, fewer only at the end of the source.

        Raises DataLossError when chunks keep arriving damaged,
        UnavailableError when storage stays away, and UploadFailedError when
        the source's upload was given up, or another has taken its place.
        """
        length = min(length, self.size_bytes - offset)
        if length <= 0:
            return b""
        loop = asyncio.get_running_loop()
        want = _Want(offset, length, loop.create_future(), loop.time())
        self._wants.append(want)
        self._unsent.append(want)
        self._asked.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run(), name="storage read")
        return await want.done

    async def settle(self) -> str:
        """Wait until the source is committed; return its SHA-256, in hexadecimal digits.

        Raises UploadFailedError when its upload fails, and UnavailableError
        when storage stays away.
        """
        patience = Patience(self._link)
        while self._object.state != object_pb2.OBJECT_STATE_COMMITTED:
            try:
                await self._await_commit(patience)
            except DistconvError as error:
                await patience.lose(error)
        return self._object.sha256

    async def _await_commit(self, patience: Patience) -> None:
        async with self._open() as stream:
            await stream.ask(pb.ReadRequest(object=self._link.grant.object_name, follow=True))
            await stream.call.done_writing()
            while (response := await stream.read()) is not None:
                patience.reset()
                self._note(response)
        if self._object.state != object_pb2.OBJECT_STATE_COMMITTED:
            raise UnavailableError(f"storage at {self._link.address} ended the stream")

    async def close(self) -> None:
        """End the stream; reads that wait fail."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        self._fail(UnavailableError("the source was closed"))

    async def _run(self) -> None:
        patience = Patience(self._link)
        try:
            while True:
                try:
                    await self._stream(patience)
                except DistconvError as error:
                    await patience.lose(error)
        except DistconvError as error:
            self._fail(error)

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[_Stream]:
        """Open a stream; whatever ends it early ends it as if storage were away."""
        call = self._link.stub.Read(metadata=self._link.metadata)
        try:
            with self._link.translated():
                async with asyncio.timeout(None) as timeout:
                    yield _Stream(call, timeout)
        except TimeoutError as error:
            raise UnavailableError(
                f"storage at {self._link.address} said nothing for {_SILENCE_S:g} s"
            ) from error
        except asyncio.InvalidStateError as error:
            raise UnavailableError(f"storage at {self._link.address} ended the stream") from error
        finally:
            call.cancel()

    async def _stream(self, patience: Patience) -> None:
        self._unsent = deque(self._wants)
        self._asked.set()
        pacer = Pacer(largest_chunk_bytes=CHUNK_BYTES)  # as long as what is asked for, mostly
        async with self._open() as stream:
            asking = asyncio.create_task(self._ask(stream, pacer))
            try:
                while (response := await stream.read()) is not None:
                    self._note(response)
                    if response.HasField("chunk"):
                        pacer.written(self._take(response.chunk))
                        self._asked.set()
                    patience.reset()
                    stream.expect(something=bool(self._wants))
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        raise UnavailableError(f"storage at {self._link.address} ended the stream")

    def _note(self, response: pb.ReadResponse) -> None:
        if not response.HasField("object"):
            return
        known, found = self._object, response.object
        if known.HasField("create_time") and known.create_time != found.create_time:
            raise UploadFailedError(
                f"the upload of {self._link.grant.object_name} that was read first was given up, "
                "and another has taken its place; read the source from its beginning"
            )
        self._object = found

    async def _ask(self, stream: _Stream, pacer: Pacer) -> None:
        """Send what is to be asked for, and credit as what was asked for comes."""
        name = self._link.grant.object_name
        while True:
            self._asked.clear()
            while self._unsent:
                want = self._unsent.popleft()
                missing = object_pb2.ByteRange(
                    offset=want.offset + want.received, length=want.length - want.received
                )
                await stream.ask(
                    pb.ReadRequest(
                        object=name,
                        range=missing,
                        follow=True,
                        credit_bytes=pacer.grant().credit_bytes,
                    )
                )
            if credit_bytes := pacer.grant().credit_bytes:
                await stream.call.write(pb.ReadRequest(credit_bytes=credit_bytes))
            await self._asked.wait()

    def _take(self, chunk: object_pb2.Chunk) -> int:
        """Add a chunk to what it was asked for; return how many bytes it brings."""
        want = self._wants[0]
        data = intact_data(chunk)
        if data is None or chunk.offset != want.offset + want.received:
            raise DataLossError(
                f"bytes {chunk.offset} to {chunk.offset + len(chunk.data)} of "
                f"{self._link.grant.object_name} arrived damaged from {self._link.address}"
            )
        want.parts.append(data)
        want.received += len(data)
        if want.received >= want.length:
            self._wants.popleft()
            self._count_wait(want)
            if not want.done.done():
                want.done.set_result(
                    want.parts[0] if len(want.parts) == 1 else b"".join(want.parts)
                )
        return len(data)

    def _count_wait(self, want: _Want) -> None:
        if self._object.state == object_pb2.OBJECT_STATE_UPLOADING:
            now = asyncio.get_running_loop().time()
            self._waited_s += now - max(want.asked, self._counted)
            self._counted = now

    def _fail(self, error: DistconvError) -> None:
        while self._wants:
            want = self._wants.popleft()
            if not want.done.done():
                want.done.set_exception(error)
