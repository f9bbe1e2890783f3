"""Fetch ranges of what lies at a signed URL over plain HTTP."""

import http.client

from distconv.engine.http_pool import HttpPool, require


class HttpRanges:
    """Ranges of what lies at a URL; see `HttpPool`."""

    def __init__(self, *, connections: int, timeout_s: float) -> None:
        self._pool = HttpPool(connections=connections, timeout_s=timeout_s)

    async def fetch(self, url: str, start: int, end: int) -> bytes:
        """Return the bytes `[start, end)`.

        Raises PermissionDeniedError when the URL is refused (it has expired,
        say), and StoreAwayError for whatever else goes wrong.
        """

        def ask(connection: http.client.HTTPConnection, target: str) -> bytes:
            connection.request("GET", target, headers={"Range": f"bytes={start}-{end - 1}"})
            response = connection.getresponse()
            # A whole object instead of a range would be read into memory: it is not.
            require(response, http.client.PARTIAL_CONTENT)
            data = response.read(end - start + 1)
            if len(data) != end - start:
                raise http.client.IncompleteRead(data, end - start - len(data))
            return data

        return await self._pool.exchange(url, ask)

    def close(self) -> None:
        """Close every connection; a request under way fails."""
        self._pool.close()
