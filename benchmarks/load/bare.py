"""What transfers are compared with: a bare grpc.aio stream, and a plain socket.

The server of both, and a client that speaks JSON lines like `benchmarks.load.transfer`. Nothing is
checked, read or written: 1 MiB of memory goes over, again and again. Tuned, the memory of messages
is kept as distconv's processes keep it, which makes a bare stream up to twice as fast. Working,
both ends do what a transfer's cannot do without: one reads a file, the other writes one, both take
each chunk's CRC32C, and the SHA-256 of the whole where distconv's do.
"""

import argparse
import asyncio
import hashlib
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_crc32c
import grpc
import grpc.aio

from distconv.rpc.buffers import keep_message_buffers
from distconv.rpc.limits import MAX_CHUNK_BYTES, MAX_MESSAGE_BYTES

_OPTIONS = (("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),)
_CHUNK = bytes(MAX_CHUNK_BYTES)
_UP, _DOWN = "/bare/Up", "/bare/Down"


class _Work:
    """What an end does with chunks; nothing without a file to send."""

    def __init__(self, file: Path | None) -> None:
        self._file = file

    @contextmanager
    def sending(self, *, digested: bool) -> Iterator[Callable[[], bytes]]:
        """Lend what makes the next chunk."""
        if self._file is None:
            yield lambda: _CHUNK
            return
        digest = hashlib.sha256()
        with self._file.open("rb", buffering=0) as file:

            def read() -> bytes:
                data = file.read(MAX_CHUNK_BYTES)
                google_crc32c.value(data)
                if digested:
                    digest.update(data)
                return data

            yield read

    @contextmanager
    def receiving(self) -> Iterator[Callable[[bytes], object]]:
        """Lend what takes the next chunk."""
        if self._file is None:
            yield len
            return
        digest = hashlib.sha256()
        with tempfile.TemporaryFile(dir=self._file.parent, buffering=0) as file:

            def write(data: bytes) -> None:
                google_crc32c.value(data)
                digest.update(data)
                file.write(data)

            yield write


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, work: _Work) -> None:
        self._work = work

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method == _UP:
            return grpc.stream_unary_rpc_method_handler(self._up)
        return grpc.unary_stream_rpc_method_handler(self._down)

    async def _up(self, chunks: AsyncIterator[bytes], _: object) -> bytes:
        count = 0
        with self._work.receiving() as take:
            async for chunk in chunks:
                take(chunk)
                count += len(chunk)
        return str(count).encode()

    async def _down(self, request: bytes, _: object) -> AsyncIterator[bytes]:
        with self._work.sending(digested=False) as make:  # it was stored with its digest
            for _number in range(int(request)):
                yield make()


async def _serve(pair: tuple[bytes, bytes] | None, work: _Work) -> None:
    server = grpc.aio.server(options=_OPTIONS)
    server.add_generic_rpc_handlers((_Handlers(work),))
    if pair is not None:
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_swallow, args=(listener,), daemon=True).start()
    print(json.dumps({
        "event": "ready",
        "address": f"127.0.0.1:{port}",
        "socket": listener.getsockname()[1],
    }), flush=True)  # fmt: skip
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


def _swallow(listener: socket.socket) -> None:
    buffer = bytearray(MAX_CHUNK_BYTES)
    while True:
        connection, _ = listener.accept()
        with connection:
            while connection.recv_into(buffer):
                pass
            connection.sendall(b"!")


def send_plainly(port: int, size_bytes: int) -> float:
    """Send bytes through a plain socket until they are read; return the time, seconds."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        start = time.perf_counter()
        for _ in range(size_bytes // MAX_CHUNK_BYTES):
            connection.sendall(_CHUNK)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)
        return time.perf_counter() - start


async def _client(address: str, ca: bytes | None, work: _Work) -> None:
    channel = (
        grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca), options=_OPTIONS)
        if ca
        else grpc.aio.insecure_channel(address, options=_OPTIONS)
    )
    async with channel:
        await channel.channel_ready()
        print(json.dumps({"event": "ready"}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            count = asked["size_bytes"] // MAX_CHUNK_BYTES
            move = _send if asked["do"] == "upload" else _fetch
            start = time.perf_counter()
            await asyncio.gather(*(move(channel, count, work) for _ in range(asked["streams"])))
            took_s = time.perf_counter() - start
            print(json.dumps({"event": "done", "took_s": took_s}), flush=True)


async def _send(channel: grpc.aio.Channel, count: int, work: _Work) -> None:
    method: grpc.aio.StreamUnaryMultiCallable[bytes, bytes] = channel.stream_unary(_UP)
    call = method()
    with work.sending(digested=True) as make:
        for _ in range(count):
            await call.write(make())
    await call.done_writing()
    assert int(await call) == count * MAX_CHUNK_BYTES


async def _fetch(channel: grpc.aio.Channel, count: int, work: _Work) -> None:
    method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(_DOWN)
    with work.receiving() as take:
        async for chunk in method(str(count).encode()):
            assert len(chunk) == MAX_CHUNK_BYTES
            take(chunk)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve, or be the client of a server, until the end of standard input."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", default="")
    parser.add_argument("--ca", type=Path)
    parser.add_argument("--cert", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--tuned", action="store_true", help="the allocator, as distconv does")
    parser.add_argument("--working", type=Path, help="a file to send; what comes lies beside it")
    said = parser.parse_args(argv)
    work = _Work(said.working)
    if said.tuned:
        keep_message_buffers()
    if said.address:
        asyncio.run(_client(said.address, said.ca.read_bytes() if said.ca else None, work))
    else:
        pair = (said.key.read_bytes(), said.cert.read_bytes()) if said.cert else None
        asyncio.run(_serve(pair, work))


if __name__ == "__main__":
    main()
