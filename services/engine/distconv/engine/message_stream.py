"""One stream of messages with dispatch, its errors those of the tree."""

import asyncio

import grpc.aio

from distconv.core.errors import UnavailableError
from distconv.rpc.errors import translated
from distconv.v1 import engine_service_pb2 as pb


class MessageStream:
    """Write and read messages; `address` is the server's."""

    def __init__(
        self,
        call: "grpc.aio.StreamStreamCall[pb.EngineMessage, pb.DispatchMessage]",
        address: str,
    ) -> None:
        self._call = call
        self.address = address

    async def write(self, message: pb.EngineMessage) -> None:
        """Send a message. Raises the tree's errors, UnavailableError when the stream is over."""
        with translated(self.address):
            try:
                await self._call.write(message)
            except asyncio.InvalidStateError as error:
                raise UnavailableError(f"the session with {self.address} is over") from error

    async def read(self) -> pb.DispatchMessage | None:
        """Return the next message, None when dispatch has ended the stream."""
        with translated(self.address):
            message = await self._call.read()
            return message if isinstance(message, pb.DispatchMessage) else None
