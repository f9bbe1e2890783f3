"""Failures of a transaction: those after which the very same may be tried again, and the other."""

from distconv.core.errors import UnavailableError


class ConflictError(UnavailableError):
    """Another transaction was in the way; nothing was done."""


class UnclearCommitError(UnavailableError):
    """The answer to a commit was lost: the change may or may not have been made."""


class ConnectionLostError(UnavailableError):
    """The connection broke before the commit; nothing was done."""
