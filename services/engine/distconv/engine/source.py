"""Read a source from storage: many ranges on one stream, in order, resumed after a break."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

import grpc.aio

from distconv.core.errors import DataLossError, DistconvError, UnavailableError
from distconv.engine.storage_link import Patience, StorageLink
from distconv.rpc.convert.object import intact_data
from distconv.rpc.errors import translated
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb


@dataclass(slots=True)
class _Want:
    """A range that was asked for and what came of it so far."""

    offset: int
    length: int
    done: "asyncio.Future[bytes]"
    parts: list[bytes] = field(default_factory=list)
    received: int = 0


class StorageSource:
    """A RangedSource over StorageService.Read.

    Memory is bounded by the ranges that the caller has outstanding. A break is
    healed within the link's patience: only what is missing is asked for again.
    """

    def __init__(self, link: StorageLink, size_bytes: int) -> None:
        self._link = link
        self.size_bytes = size_bytes
        self._wants: deque[_Want] = deque()
        self._call: grpc.aio.StreamStreamCall[pb.ReadRequest, pb.ReadResponse] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._unsent: deque[_Want] = deque()

    async def read(self, offset: int, length: int) -> bytes:
        """Return the bytes of one range, fewer only at the end of the source.

        Raises DataLossError when chunks keep arriving damaged, and
        UnavailableError when storage stays away.
        """
        length = min(length, self.size_bytes - offset)
        if length <= 0:
            return b""
        want = _Want(offset, length, asyncio.get_running_loop().create_future())
        self._wants.append(want)
        self._unsent.append(want)
        self._asked.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run(), name="storage read")
        return await want.done

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

    async def _stream(self, patience: Patience) -> None:
        call = self._link.stub.Read(metadata=self._link.metadata)
        self._unsent = deque(self._wants)
        self._asked.set()
        asking = asyncio.create_task(self._ask(call))
        try:
            with translated(self._link.address):
                while True:
                    response = await call.read()
                    if not isinstance(response, pb.ReadResponse):
                        raise UnavailableError(f"storage at {self._link.address} ended the stream")
                    if response.HasField("chunk"):
                        self._take(response)
                    patience.reset()
        finally:
            asking.cancel()
            call.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _ask(
        self, call: "grpc.aio.StreamStreamCall[pb.ReadRequest, pb.ReadResponse]"
    ) -> None:
        name = self._link.grant.object_name
        while True:
            while self._unsent:
                want = self._unsent.popleft()
                missing = object_pb2.ByteRange(
                    offset=want.offset + want.received, length=want.length - want.received
                )
                await call.write(pb.ReadRequest(object=name, range=missing))
            self._asked.clear()
            await self._asked.wait()

    def _take(self, response: pb.ReadResponse) -> None:
        chunk = response.chunk
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
            if not want.done.done():
                want.done.set_result(
                    want.parts[0] if len(want.parts) == 1 else b"".join(want.parts)
                )

    def _fail(self, error: DistconvError) -> None:
        while self._wants:
            want = self._wants.popleft()
            if not want.done.done():
                want.done.set_exception(error)
