"""What reading and writing at storage have in common: the channel, patience, and tokens."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import grpc.aio

from distconv.core.errors import (
    DamagedObjectError,
    DataLossError,
    DeadlineExceededError,
    DistconvError,
    UnavailableError,
)
from distconv.core.signed import SignedPut
from distconv.engine.block_sums import BlockSums
from distconv.engine.work import MediaGrant
from distconv.rpc.channel import UNARY_TIMEOUT_S, bearer_metadata, open_channel
from distconv.rpc.chunk_messages import write_method
from distconv.rpc.convert.times import to_datetime
from distconv.rpc.errors import translated
from distconv.v1 import object_pb2
from distconv.v1 import storage_service_pb2 as pb
from distconv.v1.storage_service_pb2_grpc import StorageServiceStub

T = TypeVar("T")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_PASSING = (UnavailableError, DeadlineExceededError)
# A bit may flip on the way; bytes that are damaged again and again are damaged at their origin.
_DAMAGED_IN_A_ROW = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """Where plain HTTP can fetch an object, until when, and the CRC32Cs of its blocks.

    `block_bytes` is 0 when there are none; `block_crc32c` is 4 bytes for each.
    """

    url: str
    expire_time: datetime
    block_bytes: int
    block_crc32c: bytes


class StorageLink:
    """A channel to the storage of one grant; use as a context manager."""

    def __init__(
        self, grant: MediaGrant, *, patience_s: float, tls_ca: bytes | None = None
    ) -> None:
        self._tls_ca = tls_ca
        self.grant = grant
        self.patience_s = patience_s
        self.metadata = bearer_metadata(grant.token)
        self._turn = 0
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._connect(grant.addresses[0])

    def _connect(self, address: str) -> None:
        self.address = address
        if address not in self._channels:
            self._channels[address] = open_channel(address, tls_ca=self._tls_ca)
        channel = self._channels[address]
        self.stub = StorageServiceStub(channel)
        self.write_method = write_method(channel)

    async def close(self) -> None:
        """Close the channels."""
        for channel in self._channels.values():
            await channel.close()

    def translated(self) -> AbstractContextManager[None]:
        """Turn the errors of a call to the present server into the tree's."""
        return translated(self.address, of_storage=True)

    def leave(self, address: str) -> None:
        """Go on with the next storage server of the grant, if there are several.

        Of several calls that fail at `address` at once the first alone does. Calls
        that are under way there go on.
        """
        if self.address == address:
            self._turn += 1
            self._connect(self.grant.addresses[self._turn % len(self.grant.addresses)])

    async def unary(
        self, call: Callable[[], Awaitable[T]], *, timeout_s: float = UNARY_TIMEOUT_S
    ) -> T:
        """Make an idempotent call, again while storage is away, as long as patience lasts.

        `call` has to set no deadline of its own. Raises the tree's errors.
        """
        patience = Patience(self)
        while True:
            address = self.address
            try:
                with self.translated():
                    async with asyncio.timeout(timeout_s):
                        return await call()
            except TimeoutError:
                await patience.lose(
                    DeadlineExceededError(f"storage at {address} gave no answer in time"),
                    at=address,
                )
            except DistconvError as error:
                await patience.lose(error, at=address)

    async def committed(self) -> tuple[int, str] | None:
        """Return size and SHA-256 of the object, None while it is uploaded. See `unary`."""
        request = pb.GetObjectRequest(name=self.grant.object_name)
        answer = await self.unary(lambda: self.stub.GetObject(request, metadata=self.metadata))
        if answer.object.state != object_pb2.OBJECT_STATE_COMMITTED:
            return None
        return answer.object.size_bytes, answer.object.sha256

    async def blocks(self, size_bytes: int, *, patient: bool = False) -> BlockSums | None:
        """Ask for the checksums of the object's blocks; once, or with patience (see `unary`).

        None while it is uploaded, and when there are none that fit its size.
        """
        request = pb.GetObjectRequest(name=self.grant.object_name, with_blocks=True)
        if patient:
            answer = await self.unary(lambda: self.stub.GetObject(request, metadata=self.metadata))
        else:
            with self.translated():
                answer = await self.stub.GetObject(
                    request, metadata=self.metadata, timeout=UNARY_TIMEOUT_S
                )
        if not answer.HasField("blocks"):
            return None
        return BlockSums.unpack(size_bytes, answer.blocks.block_size_bytes, answer.blocks.crc32c)

    async def url(self) -> SignedUrl:
        """Ask each storage server of the grant for a URL of the object, once: it can be spared.

        Raises the tree's errors.
        """
        for _ in self.grant.addresses[1:]:
            address = self.address
            try:
                return await self._url()
            except _PASSING:
                self.leave(address)
        return await self._url()

    async def _url(self) -> SignedUrl:
        request = pb.GetUrlRequest(name=self.grant.object_name)
        with self.translated():
            answer = await self.stub.GetUrl(
                request, metadata=self.metadata, timeout=UNARY_TIMEOUT_S
            )
        return SignedUrl(
            url=answer.url,
            expire_time=to_datetime(answer.expire_time),
            block_bytes=answer.block_size_bytes,
            block_crc32c=answer.block_crc32c,
        )

    async def sign_segment(self, upload: str, offset: int, length: int) -> SignedPut:
        """Ask for a URL at which a segment of an upload can be put. See `unary`."""
        request = pb.SignSegmentRequest(
            upload=upload, range=object_pb2.ByteRange(offset=offset, length=length)
        )
        answer = await self.unary(lambda: self.stub.SignSegment(request, metadata=self.metadata))
        return SignedPut(url=answer.url, headers=dict(answer.headers))

    async def confirm_segment(self, upload: str, offset: int, length: int) -> None:
        """Say that a segment was put. See `unary`."""
        request = pb.ConfirmSegmentRequest(
            upload=upload, range=object_pb2.ByteRange(offset=offset, length=length)
        )
        await self.unary(lambda: self.stub.ConfirmSegment(request, metadata=self.metadata))


class Patience:
    """Count how long storage has been away and pause between tries."""

    def __init__(self, link: StorageLink) -> None:
        self._link = link
        self._away_since: float | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._damaged = 0

    def reset(self) -> None:
        """Note that storage answered."""
        self._away_since = None
        self._pause_s = _FIRST_PAUSE_S
        self._damaged = 0

    async def lose(self, error: DistconvError, *, at: str | None = None) -> None:
        """Pause before another try; raise `error` when it does not pass or patience has ended.

        `at` is the address that failed, where it may not be the link's any more.
        """
        at = at or self._link.address
        now = asyncio.get_running_loop().time()
        if self._away_since is None:
            self._away_since = now
        if isinstance(error, DamagedObjectError):  # damaged where it lies: it will not pass
            raise error
        self._damaged += isinstance(error, DataLossError)
        passes = isinstance(error, _PASSING) or 0 < self._damaged < _DAMAGED_IN_A_ROW
        if not passes or now - self._away_since >= self._link.patience_s:
            raise error
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        self._link.leave(at)
