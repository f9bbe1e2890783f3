"""What is remembered of uploads and objects, and how it is written down: as JSON documents."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from pydantic import TypeAdapter

from distconv.core.errors import DamagedObjectError, DataLossError
from distconv.core.media import MediaCensus, MediaInfo
from distconv.core.names import object_name
from distconv.core.profile import Container
from distconv.storage.blocks import Blocks
from distconv.storage.names import MAIN_POOL


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What finishing found in the file that it made."""

    media: MediaInfo
    census: MediaCensus


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What an owner says of an object: a file's name, empty for none, and labels."""

    file_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRecord:
    """An upload under way.

    `size_bytes` is the declared size, 0 when none was declared; `container`
    is what to finish it into, None stores the bytes as they come.
    """

    nonce: str
    object_id: str
    tenant: str
    size_bytes: int
    create_time: datetime
    container: Container | None = None
    description: Description = Description()
    pool: str = MAIN_POOL


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRecord:
    """A committed object.

    `nonce` is that of the upload that made it; `received_*` describe the bytes
    as they arrived, before finishing; without finishing they are the object's.
    `version` tells where its content lies: each completion publishes one of
    its own, and the record that is put first says which of them is the object.
    `blocks` are the checksums of its blocks, None where an earlier version kept none.
    """

    object_id: str
    tenant: str
    nonce: str
    size_bytes: int
    sha256: str
    received_size_bytes: int
    received_sha256: str
    create_time: datetime
    commit_time: datetime
    finished: Finished | None = None
    description: Description = Description()
    pool: str = MAIN_POOL
    version: str = ""
    blocks: Blocks | None = None


_T = TypeVar("_T")
_UPLOAD = TypeAdapter(UploadRecord)
_OBJECT = TypeAdapter(ObjectRecord)


def dump(record: UploadRecord | ObjectRecord) -> bytes:
    """Write a record down."""
    if isinstance(record, UploadRecord):
        plain = _UPLOAD.dump_python(record, mode="json")
    else:
        plain = _OBJECT.dump_python(record, mode="json")
    # json rather than pydantic's own text: it keeps infinities, which a probe may report.
    return json.dumps(plain).encode()


def load_upload(text: bytes, *, key: str) -> UploadRecord:
    """Read an upload's record. Raises DataLossError when it is none."""
    try:
        return _load(_UPLOAD, text)
    except ValueError as error:
        raise DataLossError(
            f"the record {key} is damaged; restore it from a backup, or give the upload up"
        ) from error


def load_object(text: bytes, *, key: str) -> ObjectRecord:
    """Read an object's record. Raises DamagedObjectError when it is none."""
    try:
        return _load(_OBJECT, text)
    except ValueError as error:
        name = object_name(key.rpartition("/")[2])
        raise DamagedObjectError.of(
            name, f"its record {key} cannot be read (a backup may have it)"
        ) from error


def _load(adapter: TypeAdapter[_T], text: bytes) -> _T:
    """Read JSON; pydantic's errors and those of the text are ValueErrors."""
    return adapter.validate_python(json.loads(text))
