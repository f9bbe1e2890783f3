"""Fetch ranges of one URL over plain HTTP: a few connections, kept open; the library alone."""

import asyncio
import http.client
import queue
import ssl
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from distconv.core.errors import PermissionDeniedError, UnavailableError


class HttpRanges:
    """Ranges of what lies at a URL; each request has a deadline, redirects are not followed."""

    def __init__(self, *, connections: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="direct")
        self._idle: queue.LifoQueue[tuple[str, http.client.HTTPConnection]] = queue.LifoQueue()
        self._tls = ssl.create_default_context()

    async def fetch(self, url: str, start: int, end: int) -> bytes:
        """Return the bytes `[start, end)`.

        Raises PermissionDeniedError when the URL is refused (it has expired,
        say), and UnavailableError for whatever else goes wrong.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._fetch, url, start, end)

    def close(self) -> None:
        """Close every connection; a request under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        while not self._idle.empty():
            self._idle.get_nowait()[1].close()

    def _fetch(self, url: str, start: int, end: int) -> bytes:
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc}"
        connection, fresh = self._connect(place, parts.scheme, parts.netloc)
        try:
            try:
                data = self._ask(connection, url, start, end)
            except (OSError, http.client.HTTPException):
                if fresh:
                    raise
                # The other side may close what is idle at any time.
                connection.close()
                data = self._ask(connection, url, start, end)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise UnavailableError(f"{place} cannot be read: {error!r}") from error
        except BaseException:
            connection.close()
            raise
        self._idle.put((place, connection))
        return data

    def _connect(
        self, place: str, scheme: str, host: str
    ) -> tuple[http.client.HTTPConnection, bool]:
        while not self._idle.empty():
            try:
                kept_place, connection = self._idle.get_nowait()
            except queue.Empty:
                break
            if kept_place == place:
                return connection, False
            connection.close()
        if scheme == "https":
            return http.client.HTTPSConnection(
                host, timeout=self._timeout_s, context=self._tls
            ), True
        if scheme == "http":
            return http.client.HTTPConnection(host, timeout=self._timeout_s), True
        raise UnavailableError(f"{place} is neither http nor https")

    def _ask(self, connection: http.client.HTTPConnection, url: str, start: int, end: int) -> bytes:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Range": f"bytes={start}-{end - 1}"})
        response = connection.getresponse()
        # A whole object instead of a range would be read into memory: it is not.
        if response.status != http.client.PARTIAL_CONTENT:
            connection.close()
            refused = response.status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
            kind = PermissionDeniedError if refused else UnavailableError
            raise kind(f"{parts.scheme}://{parts.netloc} answered {response.status} to a range")
        data = response.read(end - start + 1)
        if len(data) != end - start:
            raise http.client.IncompleteRead(data, end - start - len(data))
        return data
