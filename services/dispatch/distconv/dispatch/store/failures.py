"""Failures of a transaction after which the very same may be tried again."""

from distconv.core.errors import UnavailableError


class ConflictError(UnavailableError):
    """Another transaction was in the way; nothing was done."""


class ConnectionLostError(UnavailableError):
    """The connection broke before the commit; nothing was done."""
