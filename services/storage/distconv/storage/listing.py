"""Pages of a tenant's objects, newest first."""

import asyncio
import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from distconv.core.errors import DamagedObjectError, InvalidArgumentError
from distconv.storage.names import Place, shown
from distconv.storage.objects import Objects
from distconv.storage.records import ObjectRecord, UploadRecord
from distconv.storage.uploads import Uploads

_log = structlog.get_logger()

_DEFAULT_SIZE = 100
_LARGEST_SIZE = 1000
# So many records are looked at for one page, whatever is found among them, and at once.
_LOOKED_AT = 1000
_AT_ONCE = 16
_ID_PREFIX = re.compile(r"[0-9a-z_-]{0,64}")
_TOKEN = re.compile(rb"after:([0-9a-z_-]{1,64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which objects are listed: those of which all of this holds; empty and None hold of all.

    Times are of their making, `from_time` included, `before_time` not.
    """

    id_prefix: str = ""
    file_name_prefix: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    from_time: datetime | None = None
    before_time: datetime | None = None

    def takes(self, record: ObjectRecord | UploadRecord) -> bool:
        """Tell whether an object is one of them; of its id nothing is asked any more."""
        said, made = record.description, record.create_time
        return (
            said.file_name.startswith(self.file_name_prefix)
            and self.labels.items() <= said.labels.items()
            and (self.from_time is None or made >= self.from_time)
            and (self.before_time is None or made < self.before_time)
        )


ALL = Wanted()


class Listing:
    """List objects by id, from the last to the first: ids sort by the time of their making."""

    def __init__(self, objects: Objects, uploads: Uploads) -> None:
        self._objects = objects
        self._uploads = uploads

    async def page(
        self, tenant: str, *, size: int, token: str, wanted: Wanted = ALL
    ) -> tuple[list[ObjectRecord | UploadRecord], str]:
        """Return a page and the token of the next one, empty on the last.

        A page may be short before the end: so many records are looked at, no more.
        Raises InvalidArgumentError.
        """
        if not 0 <= size <= _LARGEST_SIZE:
            raise InvalidArgumentError(
                f"a page of {size} objects cannot be had; ask for 1 to {_LARGEST_SIZE}",
                field="page_size",
            )
        if not _ID_PREFIX.fullmatch(wanted.id_prefix):
            raise InvalidArgumentError(
                f"no id begins with {shown(wanted.id_prefix)}", field="id_prefix"
            )
        left = await self._ids(tenant, wanted.id_prefix, after=_read_token(token))
        found: list[ObjectRecord | UploadRecord] = []
        last = ""
        for start in range(0, min(len(left), _LOOKED_AT), _AT_ONCE):
            some = left[start : start + _AT_ONCE]
            for object_id, record in zip(some, await self._describe_all(tenant, some), strict=True):
                if len(found) == (size or _DEFAULT_SIZE):
                    return found, _make_token(last)
                last = object_id
                if record is not None and wanted.takes(record):
                    found.append(record)
        return found, _make_token(last) if last and last != left[-1] else ""

    async def _ids(self, tenant: str, prefix: str, *, after: str) -> list[str]:
        # In this order: an upload that is committed meanwhile is among the objects then.
        ids = {*await self._uploads.ids(tenant), *await self._objects.ids(tenant)}
        left = (i for i in ids if i.startswith(prefix) and (not after or i < after))
        return sorted(left, reverse=True)

    async def _describe_all(
        self, tenant: str, ids: Sequence[str]
    ) -> list[ObjectRecord | UploadRecord | None]:
        places = [Place(tenant=tenant, object_id=object_id) for object_id in ids]
        return list(await asyncio.gather(*map(self._describe_readable, places)))

    async def _describe_readable(self, place: Place) -> ObjectRecord | UploadRecord | None:
        try:
            return await self.describe(place)
        except DamagedObjectError as error:  # one that cannot be read must not hide the others
            _log.warning("object_record_damaged", error=error.message)
            return None

    async def describe(self, place: Place) -> ObjectRecord | UploadRecord | None:
        """Return what is known of an object: committed, being uploaded, or nothing."""
        return (
            await self._objects.find(place)
            or await self._uploads.find(place)
            # It may have been committed between the two looks.
            or await self._objects.find(place)
        )


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
