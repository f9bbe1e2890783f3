"""Serve one stream of reads: of an object, or of an upload that is followed."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from distconv.core.clock import Clock
from distconv.core.errors import FailedPreconditionError, NotFoundError
from distconv.core.names import object_name
from distconv.storage import packing, streaming
from distconv.storage.following import Follower
from distconv.storage.limits import Limits
from distconv.storage.names import Place
from distconv.storage.objects import Objects, Opened
from distconv.storage.read_requests import ReadRequests
from distconv.storage.serving import RangeServer
from distconv.storage.upload import Upload
from distconv.storage.uploads import Uploads


class Reading:
    """Find what is read, and answer what is asked of it, as far as its reader allows."""

    def __init__(self, objects: Objects, uploads: Uploads, *, limits: Limits, clock: Clock) -> None:
        self._objects = objects
        self._uploads = uploads
        self._limits = limits
        self._clock = clock

    async def find(self, place: Place, *, follow: bool) -> Opened | Upload:
        """Open the object, or its upload when that is to be followed.

        Raises NotFoundError, FailedPreconditionError (it is still being uploaded, and is not to be
        followed), and UploadFailedError (what was to be followed was given up).
        """
        while True:
            try:
                return await self._objects.open(place)
            except NotFoundError:
                upload = await self._uploads.find_open(place)
                if upload is None:
                    if await self._objects.find(place) is not None:
                        continue  # committed between the two looks
                    if follow:
                        self._uploads.require_not_failed(place)
                    raise
            if follow:
                return upload
            raise FailedPreconditionError(
                f"{object_name(place.object_id)} is still being uploaded; read it when it is "
                "committed, or follow it"
            )

    async def responses(
        self, found: Opened | Upload, requests: ReadRequests
    ) -> AsyncGenerator[bytes, None]:
        """Yield the encoded messages that answer `requests`; what was opened is closed at the end.

        Raises what `ReadRequests`, `RangeServer` and `Follower` do.
        """
        async with requests:
            responses = (
                self._serve(found, requests)
                if isinstance(found, Opened)
                else self._follow(found, requests)
            )
            async with aclosing(responses):
                async for response in responses:
                    if response.data_bytes:
                        await requests.spend(response.data_bytes)
                    yield response.encoded

    async def _serve(
        self, opened: Opened, requests: ReadRequests
    ) -> AsyncGenerator[streaming.Response, None]:
        try:
            yield streaming.described(packing.committed_object(opened.record))
            server = RangeServer(
                opened.reader,
                requests.ranges(),
                name=object_name(opened.record.object_id),
                piece_bytes=lambda: self._piece_bytes(requests, opened.record.pool),
                ahead_bytes=self._limits.pace_of(opened.record.pool).read_ahead_bytes,
            )
            async with aclosing(server.loads()) as loads:
                async for load in loads:
                    for response in streaming.read_responses(load):
                        yield response
        finally:
            await opened.reader.close()

    async def _follow(
        self, upload: Upload, requests: ReadRequests
    ) -> AsyncGenerator[streaming.Response, None]:
        reader = await self._uploads.received(upload)
        try:
            yield streaming.described(packing.uploading_object(upload.record))
            follower = Follower(
                upload,
                reader,
                requests.ranges(),
                piece_bytes=lambda: self._piece_bytes(requests, upload.record.pool),
                outcome=self._uploads.outcome,
                limits=self._limits,
                clock=self._clock,
            )
            async with aclosing(follower.steps()) as steps:
                async for step in steps:
                    for response in streaming.follow_responses(step):
                        yield response
        finally:
            await reader.close()

    def _piece_bytes(self, requests: ReadRequests, pool: str) -> int:
        limits = self._limits
        most_bytes = min(limits.read_piece_bytes, limits.pace_of(pool).read_ahead_bytes)
        return min(requests.chunk_bytes, most_bytes)
