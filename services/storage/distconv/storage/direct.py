"""Let others past storage, into the bucket, for a short time: by URLs that are signed here."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from distconv.core.clock import Clock
from distconv.core.errors import InvalidArgumentError
from distconv.core.signed import SignedPut
from distconv.storage.limits import SEGMENT_URL_TTL
from distconv.storage.names import Place, UploadId
from distconv.storage.objects import Objects
from distconv.storage.providers.port import Provider
from distconv.storage.records import ObjectRecord
from distconv.storage.uploads import Uploads

_MAX_FETCH_TTL = timedelta(days=7)
_SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchUrl:
    """Where plain HTTP can fetch an object, and until when."""

    url: str
    expire_time: datetime
    record: ObjectRecord


class DirectAccess:
    """Sign; a URL cannot be taken back, so it opens nothing for longer than the caller's token."""

    def __init__(
        self, *, provider: Provider, objects: Objects, uploads: Uploads, clock: Clock
    ) -> None:
        self._provider = provider
        self._objects = objects
        self._uploads = uploads
        self._clock = clock

    async def fetch(self, place: Place, ttl: timedelta, *, token_end: datetime) -> FetchUrl:
        """Make a URL of a committed object."""
        if not _SHORTEST <= ttl <= _MAX_FETCH_TTL:
            raise InvalidArgumentError("a URL holds for 1 s to 7 days", field="ttl")
        record = await self._objects.get(place)
        ttl = self._within(ttl, token_end)
        expire_time = self._clock.now() + ttl
        url = await self._provider.url(place.data_key(record.version), ttl)
        return FetchUrl(url=url, expire_time=expire_time, record=record)

    async def segment(
        self, tenant: str, upload_id: UploadId, offset: int, length: int, *, token_end: datetime
    ) -> tuple[SignedPut, datetime]:
        """Sign a segment of an open upload, and say until when. Raises as `Upload.sign` does."""
        upload = await self._uploads.get(tenant, upload_id, look=False)
        ttl = self._within(SEGMENT_URL_TTL, token_end)
        expire_time = self._clock.now() + ttl
        return await upload.sign(offset, length, ttl), expire_time

    async def confirm(self, tenant: str, upload_id: UploadId, offset: int, length: int) -> None:
        """Take note of a segment that was put. Raises as `Upload.confirm` does."""
        upload = await self._uploads.get(tenant, upload_id, look=False)
        await upload.confirm(offset, length)

    def _within(self, ttl: timedelta, token_end: datetime) -> timedelta:
        return min(ttl, max(token_end - self._clock.now(), _SHORTEST))
