"""Put bytes at signed URLs over plain HTTP."""

import hashlib
import http.client
from collections.abc import Mapping, Sequence

from distconv.core.errors import DataLossError
from distconv.engine.http_pool import HttpPool, require

# An answer to a PUT is short; a longer one is not worth the connection.
_ANSWER_BYTES = 64 * 1024


class DamagedPutError(DataLossError):
    """Other bytes have arrived at the object store than were put there."""


class HttpPuts:
    """Put whole objects, each in one request; see `HttpPool`.

    No checksum can go with the bytes: S3 refuses headers with one that are not
    signed. But most object stores answer with the MD5 of what arrived, as its
    ETag. One that has done so once does so always, so another is damage from
    then on. (Those that encrypt with keys of their own answer something else.)
    """

    def __init__(self, *, connections: int, timeout_s: float) -> None:
        self._pool = HttpPool(connections=connections, timeout_s=timeout_s)
        self._tells_md5 = False

    async def put(self, url: str, pieces: Sequence[bytes], headers: Mapping[str, str]) -> None:
        """Put the pieces together at a URL.

        Raises PermissionDeniedError when the URL is refused (it has expired,
        say), DamagedPutError when other bytes have arrived, and StoreAwayError
        for whatever else goes wrong.
        """
        length = sum(map(len, pieces))

        def ask(connection: http.client.HTTPConnection, target: str) -> None:
            connection.request(
                "PUT", target, body=pieces, headers={**headers, "Content-Length": str(length)}
            )
            response = connection.getresponse()
            require(response, http.client.OK, http.client.CREATED)
            response.read(_ANSWER_BYTES)
            if not response.isclosed():
                connection.close()
            self._compare(pieces, response.getheader("ETag") or "")

        await self._pool.exchange(url, ask)

    def _compare(self, pieces: Sequence[bytes], etag: str) -> None:
        digest = hashlib.md5(usedforsecurity=False)
        for piece in pieces:
            digest.update(piece)
        if etag.strip('"').lower() == digest.hexdigest():
            self._tells_md5 = True
        elif self._tells_md5:
            raise DamagedPutError("bytes that are put into the bucket arrive damaged there")

    def close(self) -> None:
        """Close every connection; a request under way fails."""
        self._pool.close()
