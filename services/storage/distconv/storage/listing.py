"""Pages of a tenant's objects, newest first."""

import base64
import binascii
import re

from distconv.core.errors import InvalidArgumentError, NotFoundError
from distconv.storage.names import Place, shown
from distconv.storage.objects import Objects
from distconv.storage.records import ObjectRecord, UploadRecord
from distconv.storage.uploads import Uploads

_DEFAULT_SIZE = 100
_LARGEST_SIZE = 1000
_TOKEN = re.compile(rb"after:([0-9a-z_-]{1,64})")


class Listing:
    """List objects by id, from the last to the first: ids sort by the time of their making."""

    def __init__(self, objects: Objects, uploads: Uploads) -> None:
        self._objects = objects
        self._uploads = uploads

    async def page(
        self, tenant: str, *, size: int, token: str
    ) -> tuple[list[ObjectRecord | UploadRecord], str]:
        """Return a page and the token of the next one, empty on the last.

        Raises InvalidArgumentError.
        """
        if not 0 <= size <= _LARGEST_SIZE:
            raise InvalidArgumentError(
                f"a page of {size} objects cannot be had; ask for 1 to {_LARGEST_SIZE}",
                field="page_size",
            )
        after = _read_token(token)
        ids = {*await self._objects.ids(tenant), *await self._uploads.ids(tenant)}
        left = sorted((i for i in ids if not after or i < after), reverse=True)
        page = left[: size or _DEFAULT_SIZE]
        found = [await self.describe(Place(tenant=tenant, object_id=i)) for i in page]
        next_token = _make_token(page[-1]) if len(page) < len(left) else ""
        return [record for record in found if record is not None], next_token

    async def describe(self, place: Place) -> ObjectRecord | UploadRecord | None:
        """Return what is known of an object: committed, being uploaded, or nothing."""
        try:
            return await self._objects.get(place)
        except NotFoundError:
            return await self._uploads.find(place)


def _make_token(last_id: str) -> str:
    return base64.urlsafe_b64encode(b"after:" + last_id.encode()).decode()


def _read_token(token: str) -> str:
    if not token:
        return ""
    try:
        match = _TOKEN.fullmatch(base64.urlsafe_b64decode(token.encode("ascii")))
    except (binascii.Error, UnicodeEncodeError):
        match = None
    if match is None:
        raise InvalidArgumentError(
            f"{shown(token)} is not a page token; use next_page_token as it was answered",
            field="page_token",
        )
    return match[1].decode()
