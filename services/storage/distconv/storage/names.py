"""Names from outside, checked; keys for providers, built from checked ids alone."""

import re
import secrets
from dataclasses import dataclass
from typing import Self

from distconv.core.errors import InvalidArgumentError

# Lower case only: some file systems do not tell case apart.
_ID = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}")
_POOL = r"[a-z0-9][a-z0-9-]{0,31}"
_NONCE = re.compile(rf"[0-9a-f]{{12}}(?:@{_POOL})?")
# The pool in which everything lies where nobody says otherwise.
MAIN_POOL = "main"
_OBJECTS = "objects/"
_UPLOADS = "uploads/"
_SHOWN_CHARS = 60


def new_nonce(pool: str = MAIN_POOL) -> str:
    """Return what tells two uploads, or two versions of a content, of one object apart.

    It ends in `@POOL` where the bytes lie in another pool than the main one, and
    so do the keys that are made of it.
    """
    return secrets.token_hex(6) + ("" if pool == MAIN_POOL else f"@{pool}")


def pool_of(key: str) -> str:
    """Return the pool in which a key's thing lies: bytes where they were put, all else in main."""
    _, kind, name = (*key.split("/"), "", "")[:3]
    return (name.partition("@")[2] if kind == "data" else "") or MAIN_POOL


def check_pool(name: str) -> str:
    """Return a pool's name as it is. Raises InvalidArgumentError."""
    if not re.fullmatch(_POOL, name):
        raise InvalidArgumentError(
            f"{shown(name)} is no name for a storage pool: lower-case letters, digits and '-', at "
            "most 32 characters",
            field="pool",
        )
    return name


def shown(text: str) -> str:
    """Return `text` fit for a message: quoted, control characters escaped, cut when long."""
    cut = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
    return ascii(cut) if not cut.isprintable() else f"'{cut}'"


def parse_object(name: str, *, field: str) -> str:
    """Return the id in `objects/{id}`. Raises InvalidArgumentError naming `field`."""
    object_id = name.removeprefix(_OBJECTS)
    if not name.startswith(_OBJECTS) or not _ID.fullmatch(object_id):
        raise InvalidArgumentError(
            f"{shown(name)} does not name an object; write objects/ID as the media access does",
            field=field,
        )
    return object_id


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadId:
    """An upload of an object: the object's id, and what tells its uploads apart."""

    object_id: str
    nonce: str

    @classmethod
    def new(cls, object_id: str, pool: str = MAIN_POOL) -> Self:
        """Make an id for another upload of the object, whose bytes gather in a pool."""
        return cls(object_id=object_id, nonce=new_nonce(pool))

    @classmethod
    def parse(cls, name: str, *, field: str) -> Self:
        """Return the id in `uploads/{object id}.{nonce}`.

        Raises InvalidArgumentError naming `field`.
        """
        object_id, _, nonce = name.removeprefix(_UPLOADS).partition(".")
        if (
            not name.startswith(_UPLOADS)
            or not _ID.fullmatch(object_id)
            or not _NONCE.fullmatch(nonce)
        ):
            raise InvalidArgumentError(
                f"{shown(name)} does not name an upload; use the name that CreateUpload answered",
                field=field,
            )
        return cls(object_id=object_id, nonce=nonce)

    @property
    def name(self) -> str:
        """Return the resource name."""
        return f"{_UPLOADS}{self.object_id}.{self.nonce}"


def _check(value: str) -> str:
    if not _ID.fullmatch(value):
        raise InvalidArgumentError(f"{shown(value)} is not an id")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An object of a tenant, and the keys of all that belongs to it."""

    tenant: str
    object_id: str

    def __post_init__(self) -> None:
        _check(self.tenant)
        _check(self.object_id)

    def data_key(self, version: str = "") -> str:
        """Return where one version of the object's content lies (`ObjectRecord.version`)."""
        return f"{self.tenant}/data/{self.object_id}" + (f".{version}" if version else "")

    @property
    def object_key(self) -> str:
        """Return where the record of the committed object lies; its presence is the commit."""
        return f"{self.tenant}/objects/{self.object_id}"

    @property
    def upload_key(self) -> str:
        """Return where the record of the upload under way lies."""
        return f"{self.tenant}/uploads/{self.object_id}"

    def content_key(self, size_bytes: int, sha256: str, pool: str) -> str:
        """Return the key whose presence tells that the object has this content, in a pool."""
        folder = contents_prefix(self.tenant, size_bytes)
        return f"{folder}{size_bytes}.{sha256}.{self.object_id}.{pool}"

    def staging_key(self, upload_id: UploadId) -> str:
        """Return where the bytes of one upload gather."""
        return f"{self.tenant}/data/{self.object_id}.{upload_id.nonce}"


# So many folders hold the index of contents: few to list at once, and few that stay empty.
_CONTENT_FOLDERS = 4096


def contents_prefix(tenant: str, size_bytes: int) -> str:
    """Return the prefix of the keys that tell which objects of a size there are, among others."""
    return f"{_check(tenant)}/contents/{size_bytes % _CONTENT_FOLDERS:03x}/"


def tenant_prefix(tenant: str) -> str:
    """Return the prefix of all keys of a tenant."""
    return f"{_check(tenant)}/"


def tenant_contents_prefix(tenant: str) -> str:
    """Return the prefix of the keys that tell what objects a tenant has."""
    return f"{_check(tenant)}/contents/"


def reserved_prefix(tenant: str) -> str:
    """Return the prefix of the keys that tell what a tenant's uploads have reserved."""
    return f"{_check(tenant)}/reserved/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentEntry:
    """What an entry of the index of contents says."""

    place: Place
    size_bytes: int
    sha256: str
    pool: str


def parse_content(key: str) -> ContentEntry:
    """Return what `Place.content_key` made a key of."""
    tenant, _, _, name = key.split("/")
    size_bytes, sha256, object_id, pool = name.split(".")
    return ContentEntry(
        place=Place(tenant=tenant, object_id=object_id),
        size_bytes=int(size_bytes),
        sha256=sha256,
        pool=pool,
    )


def objects_prefix(tenant: str) -> str:
    """Return the prefix of the keys of a tenant's object records."""
    return f"{_check(tenant)}/objects/"


def uploads_prefix(tenant: str) -> str:
    """Return the prefix of the keys of a tenant's upload records."""
    return f"{_check(tenant)}/uploads/"


def parse_data(key: str) -> tuple[Place, str]:
    """Return the object and the nonce or version that `staging_key` or `data_key` made a key of."""
    tenant, _, name = key.split("/")
    object_id, _, nonce = name.partition(".")
    return Place(tenant=tenant, object_id=object_id), nonce
