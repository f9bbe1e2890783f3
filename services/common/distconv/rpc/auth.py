"""Who asks: principals, and the authenticators that servers put in their interceptor."""

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Protocol

from distconv.core.errors import UnauthenticatedError
from distconv.core.names import LOCAL_TENANT, parse_tenant
from distconv.rpc.tokens import MediaClaims, MediaTokens

_BEARER = "bearer "
# Metadata that names the tenant a caller acts for.
TENANT_KEY = "distconv-tenant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks: a user of a tenant.

    `any_tenant` says that the user may act for every other tenant too; `media`
    is what a media token allows, at storage only.
    """

    tenant: str
    user: str
    any_tenant: bool = False
    media: MediaClaims | None = None


class Authenticator(Protocol):
    """Tell who a call comes from."""

    def authenticate(self, metadata: dict[str, str]) -> Principal:
        """Return the principal; `metadata` has lower-case keys.

        Raises UnauthenticatedError.
        """
        ...


LOCAL = Principal(tenant=LOCAL_TENANT, user="local", any_tenant=True)


class LocalTenantAuthenticator:
    """Take every caller for the local user, acting for the tenant that the metadata names.

    For a server that listens on loopback only: who reaches it has the machine.
    """

    def authenticate(self, metadata: dict[str, str]) -> Principal:
        """Return the local user of a tenant. Raises InvalidArgumentError."""
        name = metadata.get(TENANT_KEY, "")
        return replace(LOCAL, tenant=parse_tenant(name)) if name else LOCAL


class LocalAuthenticator:
    """Take every caller for the one local user: for a server that listens on loopback only."""

    def authenticate(self, metadata: dict[str, str]) -> Principal:  # noqa: ARG002  # the port's signature
        """Return the local principal."""
        return LOCAL


class MediaTokenAuthenticator:
    """Take callers for whom their media token names; storage trusts nothing else."""

    def __init__(self, tokens: MediaTokens) -> None:
        self._tokens = tokens

    def authenticate(self, metadata: dict[str, str]) -> Principal:
        """Return the token's tenant with what the token allows."""
        token = bearer(metadata)
        if not token:
            raise UnauthenticatedError(
                "storage takes a media access token; ask dispatch for one with GrantMediaAccess"
            )
        claims = self._tokens.verify(token)
        return Principal(tenant=claims.tenant, user=claims.subject, media=claims)


def bearer(metadata: dict[str, str]) -> str:
    """Return the bearer token of the `authorization` header, or nothing."""
    value = metadata.get("authorization", "")
    return value[len(_BEARER) :].strip() if value.lower().startswith(_BEARER) else ""


_current: ContextVar[Principal] = ContextVar("principal")


def set_principal(principal: Principal) -> None:
    """Remember who the present call comes from; called by the interceptor alone."""
    _current.set(principal)


def principal() -> Principal:
    """Return who the present call comes from.

    Raises UnauthenticatedError outside a call that went through the interceptor.
    """
    try:
        return _current.get()
    except LookupError:
        raise UnauthenticatedError("the call was not authenticated") from None
