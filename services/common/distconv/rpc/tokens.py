"""Signed, short-lived media access tokens: JSON Web Tokens, HMAC-SHA256 (RFC 7519, RFC 7518 §3.2).

dispatch signs, storage verifies; they share one key and nothing else.
"""

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

import jwt

from distconv.core.clock import Clock
from distconv.core.errors import PermissionDeniedError, UnauthenticatedError

_ALGORITHM = "HS256"
_AUDIENCE = "distconv-storage"
_HEADER = base64.urlsafe_b64encode(
    json.dumps({"alg": _ALGORITHM, "typ": "JWT"}, separators=(",", ":")).encode()
).rstrip(b"=")
KEY_BYTES = 32  # as long as the hash, RFC 7518 §3.2


class MediaAction(StrEnum):
    """What a token allows on its object; one token, one action."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    LIST = "list"
    COLLECT = "collect"  # by dispatch alone, which knows what jobs need; never granted


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaClaims:
    """What a token says: `subject` (a user or an attempt) of `tenant` may do `action` on `object`.

    `object` is the id alone, without `objects/`; empty with LIST and
    COLLECT. `pool` is the storage pool for what is written, empty for the tenant's.
    """

    tenant: str
    subject: str
    object: str
    action: MediaAction
    expire_time: datetime
    pool: str = ""

    def require(self, action: MediaAction, object_id: str) -> None:
        """Raise PermissionDeniedError unless this allows `action` on the object."""
        if self.action is not action or self.object != object_id:
            raise PermissionDeniedError(
                f"the media token allows to {self.action.value} '{self.object}', "
                f"not to {action.value} '{object_id}'"
            )


class MediaTokens:
    """Sign and verify media tokens with one shared key."""

    def __init__(self, key: bytes, clock: Clock) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"the signing key has {len(key)} bytes; it needs {KEY_BYTES}")
        self._key = key
        self._clock = clock

    def sign(
        self,
        *,
        tenant: str,
        subject: str,
        object_id: str,
        action: MediaAction,
        ttl: timedelta,
        pool: str = "",
    ) -> tuple[str, datetime]:
        """Return a token and when it ends."""
        expire_time = self._clock.now() + ttl
        claims: dict[str, object] = {
            "aud": _AUDIENCE,
            "tnt": tenant,
            "sub": subject,
            "obj": object_id,
            "act": action.value,
            "exp": int(expire_time.timestamp()),
        }
        if pool:
            claims["pool"] = pool
        return self._encode(claims), expire_time

    def _encode(self, claims: Mapping[str, object]) -> str:
        """Write the compact serialisation (RFC 7515 §3.1); PyJWT takes three times as long."""
        payload = _base64url(json.dumps(claims, separators=(",", ":")).encode())
        signed = b".".join((_HEADER, payload))
        signature = _base64url(hmac.digest(self._key, signed, "sha256"))
        return b".".join((signed, signature)).decode()

    def verify(self, token: str) -> MediaClaims:
        """Return what a token says. Raises UnauthenticatedError when it does not hold."""
        try:
            # The expiry is checked below against our own clock, so that tests can move it.
            claims = jwt.decode(
                token,
                self._key,
                algorithms=[_ALGORITHM],
                audience=_AUDIENCE,
                options={"verify_exp": False, "require": ["exp", "sub", "aud"]},
            )
            found = MediaClaims(
                tenant=str(claims["tnt"]),
                subject=str(claims["sub"]),
                object=str(claims["obj"]),
                action=MediaAction(claims["act"]),
                pool=str(claims.get("pool", "")),
                expire_time=datetime.fromtimestamp(int(claims["exp"]), tz=self._clock.now().tzinfo),
            )
        except (jwt.InvalidTokenError, KeyError, ValueError) as error:
            raise UnauthenticatedError("the media token is not one that dispatch signed") from error
        if found.expire_time <= self._clock.now():
            raise UnauthenticatedError("the media token has expired; ask dispatch for another")
        return found


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def load_or_make_key(path: Path) -> bytes:
    """Return the key at `path`, made with mode 0600 when there is none yet."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{secrets.token_hex(4)}")
        temporary.touch(mode=0o600)
        temporary.write_bytes(secrets.token_bytes(KEY_BYTES))
        try:
            # A link fails where a name stands: of two processes that start at once, one wins.
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        return path.read_bytes()
