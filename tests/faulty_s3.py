"""A proxy before an S3 that answers errors, or nothing, when it is told to."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_HEADERS_OF_A_HOP = frozenset(
    ["connection", "transfer-encoding", "content-length", "date", "server"]
)


@dataclass
class Fault:
    """What to answer instead: a status and the code of S3; only to `methods` if any are named.

    With the status 0 the connection is closed without a word.
    """

    status: int
    code: str
    methods: tuple[str, ...] = ()


class FaultyS3:
    """Set `fault` to have it answer an error, None to have it forward.

    `flips` has it turn one bit of every content that it forwards, `flips_puts` of so many that are
    put by way of signed URLs; `hides_etags` keeps to itself what the S3 says of those.
    `gate` is waited for before such a PUT is forwarded.
    """

    def __init__(self, behind: str) -> None:
        self.fault: Fault | None = None
        self.flips = False
        self.flips_puts = 0
        self.fault_after_flips: Fault | None = None  # set as `fault` with the last of `flips_puts`
        self.hides_etags = False
        self.gate = threading.Event()
        self.gate.set()
        self.put_bytes = 0  # by way of signed URLs
        self._lock = threading.Lock()
        self.requests: list[str] = []
        self._behind = behind
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.01)

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()

    def _put(self, body: bytes) -> bytes:
        self.gate.wait()
        with self._lock:
            self.put_bytes += len(body)
            if not self.flips_puts:
                return body
            self.flips_puts -= 1
            if not self.flips_puts and self.fault_after_flips is not None:
                self.fault = self.fault_after_flips
        return _flipped(body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyS3

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy = self.proxy
        proxy.requests.append(f"{self.command} {self.path}")
        fault = proxy.fault
        if fault is not None and (not fault.methods or self.command in fault.methods):
            if not fault.status:
                self.close_connection = True
                return
            text = f"<Error><Code>{fault.code}</Code><Message>no</Message></Error>"
            self._answer(fault.status, [], text.encode())
            return
        is_signed_put = self.command == "PUT" and "X-Amz-Signature" in self.path
        if is_signed_put:
            body = proxy._put(body)
        behind = http.client.HTTPConnection(proxy._behind)
        behind.request(self.command, self.path, body, dict(self.headers))
        answer = behind.getresponse()
        content = answer.read()
        if proxy.flips and self.command == "GET":
            content = _flipped(content)
        dropped = _HEADERS_OF_A_HOP
        if is_signed_put and proxy.hides_etags:
            dropped = dropped | {"etag"}
        kept = [h for h in answer.getheaders() if h[0].lower() not in dropped]
        if self.command == "HEAD":
            kept.append(("Content-Length", answer.getheader("Content-Length") or "0"))
        behind.close()
        with suppress(OSError):  # whoever asked has gone
            self._answer(answer.status, kept, content)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def _flipped(content: bytes) -> bytes:
    return bytes([content[0] ^ 1]) + content[1:] if content else content


@contextmanager
def faulty_s3(behind: str) -> Iterator[FaultyS3]:
    """Run a proxy before the S3 at `behind`, HOST:PORT."""
    proxy = FaultyS3(behind)
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
