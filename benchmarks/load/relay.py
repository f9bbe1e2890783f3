"""A TCP relay between processes: counts what flows each way, and acts at a byte of one's choice."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from enum import StrEnum
from types import TracebackType
from typing import Self

_READ_BYTES = 64 * 1024
_START_S = 10.0
# The kernel's own would grow to several MB for each socket, and be counted as on the way.
_SOCKET_BYTES = 64 * 1024

# Gets the bytes that are on their way and the index of the chosen one among them; may change them.
Act = Callable[[bytearray, int], None]


class Way(StrEnum):
    """Which way bytes flow: up to the server, or down from it."""

    UP = "up"
    DOWN = "down"


class Relay:
    """Relays every connection to 127.0.0.1:`port`, in a thread of its own; a context manager.

    Bytes are counted over all connections, since the last `reset`.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Way, 0)
        self._planned: tuple[Way, int, Act] | None = None
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._links: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.address = ""

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_START_S):
            raise RuntimeError("the relay does not start")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_S)

    def reset(self) -> None:
        """Count from zero again, and forget what was planned."""
        with self._lock:
            self._counts = dict.fromkeys(Way, 0)
            self._planned = None

    def count(self, way: Way) -> int:
        """Return how many bytes have come by."""
        with self._lock:
            return self._counts[way]

    def plan(self, way: Way, offset: int, act: Act) -> None:
        """Act once when the byte `offset`, counted from the last reset, comes by."""
        with self._lock:
            self._planned = (way, offset, act)

    @property
    def pending(self) -> bool:
        """Tell whether what was planned has not come to pass."""
        with self._lock:
            return self._planned is not None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        listening = _small(socket.socket())
        listening.bind(("127.0.0.1", 0))
        server = await asyncio.start_server(self._accept, sock=listening, limit=_READ_BYTES)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._ready.set()
        await self._stop.wait()
        server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.ensure_future(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Relay one connection until either end closes."""
        try:
            behind, towards = await self._connect()
        except OSError:  # nobody listens: as if nobody did here
            writer.transport.abort()
            return
        pumps = [
            asyncio.ensure_future(self._pump(Way.UP, reader, towards)),
            asyncio.ensure_future(self._pump(Way.DOWN, behind, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            writer.close()
            towards.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        towards = _small(socket.socket())
        towards.setblocking(False)  # noqa: FBT003  # the socket's own signature
        try:
            await asyncio.get_running_loop().sock_connect(towards, ("127.0.0.1", self._port))
        except OSError:
            towards.close()
            raise
        return await asyncio.open_connection(sock=towards, limit=_READ_BYTES)

    async def _pump(
        self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ_BYTES):
                writer.write(self._pass(way, data))
                await writer.drain()

    def _pass(self, way: Way, data: bytes) -> bytes:
        with self._lock:
            start = self._counts[way]
            self._counts[way] += len(data)
            if self._planned is None or self._planned[0] is not way:
                return data
            _, offset, act = self._planned
            if not start <= offset < start + len(data):
                return data
            self._planned = None
        changed = bytearray(data)
        act(changed, offset - start)
        return bytes(changed)


def _small(endpoint: socket.socket) -> socket.socket:
    for which in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        endpoint.setsockopt(socket.SOL_SOCKET, which, _SOCKET_BYTES)
    return endpoint
