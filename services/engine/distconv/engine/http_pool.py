"""Plain HTTP to where signed URLs lead: a few connections, kept open; the library alone."""

import asyncio
import http.client
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar
from urllib.parse import urlsplit

from distconv.core.errors import PermissionDeniedError, UnavailableError

T = TypeVar("T")
Ask = Callable[[http.client.HTTPConnection, str], T]
"""Make one request on a connection, for a path with its query; `require` looks at the answer."""

# A host that cannot be reached from here says nothing at all: that has to be told soon.
_CONNECT_TIMEOUT_S = 5.0
_REFUSALS = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
# What object stores ask with to slow down, or say of a moment's trouble of their own.
_BUSY = (
    http.client.TOO_MANY_REQUESTS,
    http.client.INTERNAL_SERVER_ERROR,
    http.client.SERVICE_UNAVAILABLE,
)


class StoreAwayError(UnavailableError):
    """The object store cannot be reached, breaks off, or answers what nobody can use."""


class SilentStoreError(StoreAwayError):
    """The object store says nothing: trying again would take as long once more."""


class BusyError(StoreAwayError):
    """The object store is there and has too much to do, or says so: to be asked again later."""


class HttpPool:
    """Make requests in threads; each has a deadline, redirects are not followed."""

    def __init__(self, *, connections: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="direct")
        self._idle: queue.LifoQueue[tuple[str, http.client.HTTPConnection]] = queue.LifoQueue()
        self._tls = ssl.create_default_context()
        self._lock = threading.Lock()
        self._busy: set[http.client.HTTPConnection] = set()
        self._closed = False

    async def exchange(self, url: str, ask: Ask[T]) -> T:
        """Return what `ask` returns; it may be called twice, and has to bear that.

        Raises what `ask` raises, StoreAwayError when the other side cannot be
        reached or breaks off, and SilentStoreError when it says nothing in time.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._exchange, url, ask)

    def close(self) -> None:
        """Close every connection; a request under way fails. Harmless when repeated."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._closed = True
            for connection in self._busy:
                if isinstance(connection.sock, socket.socket):
                    # Not a TLS socket's own, which another thread is using.
                    with suppress(OSError):
                        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)
        while not self._idle.empty():
            self._idle.get_nowait()[1].close()

    def _exchange(self, url: str, ask: Ask[T]) -> T:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc}"
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection, fresh = self._take(place, parts.scheme, parts.netloc)
        try:
            try:
                answer = self._asked(connection, target, ask)
            except (OSError, http.client.HTTPException) as error:
                if fresh or isinstance(error, TimeoutError):
                    raise
                # The other side may close what is idle at any time.
                connection.close()
                answer = self._asked(connection, target, ask)
        except TimeoutError as error:
            connection.close()
            raise SilentStoreError(f"{place} says nothing: {error!r}") from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise StoreAwayError(f"{place} cannot be used: {error!r}") from error
        except BaseException:
            connection.close()
            raise
        finally:
            with self._lock:
                self._busy.discard(connection)
        if self._closed:
            connection.close()
        else:
            self._idle.put((place, connection))
        return answer

    def _asked(self, connection: http.client.HTTPConnection, target: str, ask: Ask[T]) -> T:
        if connection.sock is None:
            self._connect(connection)
        with self._lock:
            if self._closed:
                raise StoreAwayError("plain HTTP was given up")
        return ask(connection, target)

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        connection.connect()
        if isinstance(connection.sock, socket.socket):
            connection.sock.settimeout(self._timeout_s)

    def _take(self, place: str, scheme: str, host: str) -> tuple[http.client.HTTPConnection, bool]:
        connection, fresh = self._kept(place), False
        if connection is None:
            connection, fresh = self._made(place, scheme, host), True
        with self._lock:
            self._busy.add(connection)
        return connection, fresh

    def _kept(self, place: str) -> http.client.HTTPConnection | None:
        while True:
            try:
                kept_place, connection = self._idle.get_nowait()
            except queue.Empty:
                return None
            if kept_place == place:
                return connection
            connection.close()

    def _made(self, place: str, scheme: str, host: str) -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(host, timeout=_CONNECT_TIMEOUT_S, context=self._tls)
        if scheme == "http":
            return http.client.HTTPConnection(host, timeout=_CONNECT_TIMEOUT_S)
        raise StoreAwayError(f"{place} is neither http nor https")


def require(response: http.client.HTTPResponse, *statuses: int) -> None:
    """Raise unless the answer has one of these statuses.

    PermissionDeniedError says that the URL is refused (it has expired, say),
    BusyError that it may do later, StoreAwayError anything else.
    """
    if response.status in statuses:
        return
    said = f"the object store answered {response.status} at a signed URL"
    if response.status in _REFUSALS:
        raise PermissionDeniedError(said)
    raise BusyError(said) if response.status in _BUSY else StoreAwayError(said)
