"""The one tree of errors that distconv raises.

Every leaf names a cause. `rpc` maps the tree to google.rpc.Status and back, so
that a client catches the same class that a server raised. A message says what
happened, to what, and what to do about it.
"""

from collections.abc import Mapping
from typing import ClassVar, Self


class DistconvError(Exception):
    """Stand for any failure that distconv foresees.

    `reason` is the stable UPPER_SNAKE_CASE name of the cause on the wire;
    `retryable` says whether the same call may succeed later unchanged;
    `metadata` holds ids and limits for programs, never secrets.
    """

    reason: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        # Of a request with many parts: what is wrong, as pairs of a field and a sentence.
        self.violations: tuple[tuple[str, str], ...] = ()
        # Whether a server that was reached said it; else the way to the server may have failed.
        self.answered = False


class InternalError(DistconvError):
    """A fault of distconv itself; the message carries an id to look up in the logs."""

    reason = "INTERNAL"


# --- what the caller asked for is wrong ---------------------------------------------------


class InvalidArgumentError(DistconvError):
    """A value from outside is not acceptable; `field` names it."""

    reason = "INVALID_ARGUMENT"

    def __init__(
        self, message: str, *, field: str = "", metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(
            message, metadata={**({"field": field} if field else {}), **(metadata or {})}
        )

    @property
    def field(self) -> str:
        """Name the offending field, dotted as in the contract; empty when there is none."""
        return self.metadata.get("field", "")


class InvalidProfileError(InvalidArgumentError):
    """A profile has an unknown key or a value out of its range."""

    reason = "INVALID_PROFILE"


class NotFoundError(DistconvError):
    """The named resource does not exist, or not for this tenant."""

    reason = "NOT_FOUND"


class UnknownProfileError(NotFoundError):
    """No profile has this name."""

    reason = "UNKNOWN_PROFILE"


class AlreadyExistsError(DistconvError):
    """Something of that name stands already."""

    reason = "ALREADY_EXISTS"


class FailedPreconditionError(DistconvError):
    """The resource is not in a state that allows this."""

    reason = "FAILED_PRECONDITION"


class IllegalTransitionError(FailedPreconditionError):
    """A state machine was asked for a move that its table does not have."""

    reason = "ILLEGAL_TRANSITION"


class StaleLeaseError(FailedPreconditionError):
    """The attempt no longer holds the lease: what it says is refused."""

    reason = "STALE_LEASE"


class StaleEtagError(FailedPreconditionError):
    """The resource has changed since it was read; read it again."""

    reason = "STALE_ETAG"


class OutOfRangeError(DistconvError):
    """A range lies beyond the end of its object."""

    reason = "OUT_OF_RANGE"


# --- who asks ------------------------------------------------------------------------------


class UnauthenticatedError(DistconvError):
    """No credentials, or none that hold."""

    reason = "UNAUTHENTICATED"


class PermissionDeniedError(DistconvError):
    """The credentials do not allow this."""

    reason = "PERMISSION_DENIED"


# --- the world is in the way ---------------------------------------------------------------


class UnavailableError(DistconvError):
    """A server cannot be reached or is shutting down; try again."""

    reason = "UNAVAILABLE"
    retryable = True


class DeadlineExceededError(DistconvError):
    """The time allowed ran out."""

    reason = "DEADLINE_EXCEEDED"
    retryable = True


class ResourceExhaustedError(DistconvError):
    """A quota, a disk or another limit is used up."""

    reason = "RESOURCE_EXHAUSTED"
    retryable = True


class DiskFullError(ResourceExhaustedError):
    """A disk has no room left for what is to be written."""

    reason = "DISK_FULL"


class QuotaExceededError(ResourceExhaustedError):
    """A tenant or a storage pool has no room left of what it was given."""

    reason = "QUOTA_EXCEEDED"


class UploadFailedError(DistconvError):
    """The upload that was followed has failed for good: its object never comes to be."""

    reason = "UPLOAD_FAILED"


class DataLossError(DistconvError):
    """Bytes are not what they were: a checksum or digest does not match."""

    reason = "DATA_LOSS"
    retryable = True


class DamagedObjectError(DataLossError):
    """What storage holds of an object is not what was committed; no retry can mend it."""

    reason = "OBJECT_DAMAGED"
    retryable = False

    @classmethod
    def of(cls, name: str, how: str) -> Self:
        """Say how the object `objects/{id}` is damaged, and what to do."""
        return cls(
            f"the stored object {name} is damaged: {how}; delete it ('dcctl objects rm "
            f"{name.removeprefix('objects/')}') and send the file again",
            metadata={"object": name},
        )


class UnimplementedError(DistconvError):
    """The contract has this, this server does not serve it yet."""

    reason = "UNIMPLEMENTED"


class CancelledError(DistconvError):
    """The work was cancelled on request."""

    reason = "CANCELLED"


# --- the media -----------------------------------------------------------------------------


class MediaError(DistconvError):
    """The work on a video failed."""

    reason = "MEDIA_ERROR"


class CorruptSourceError(MediaError):
    """The source is empty, truncated or no video at all; no retry can mend it."""

    reason = "CORRUPT_SOURCE"


class UnsupportedSourceError(MediaError):
    """The source is of a kind that distconv does not take; no retry can mend it."""

    reason = "UNSUPPORTED_SOURCE"


class ImpossibleProfileError(MediaError):
    """This profile cannot be applied to this source (no video stream, say)."""

    reason = "IMPOSSIBLE_PROFILE"


class MissingEncoderError(MediaError):
    """The ffmpeg at hand lacks what the profile needs."""

    reason = "MISSING_ENCODER"


class VerificationError(MediaError):
    """ffmpeg claimed success but the output is not whole."""

    reason = "VERIFICATION_FAILED"
    retryable = True


class StalledError(MediaError):
    """No progress in bytes and frames for longer than allowed."""

    reason = "STALLED"
    retryable = True


class EncodeFailedError(MediaError):
    """ffmpeg ended with an error.

    Keeps argv, the exit code (negative: the signal) and the last lines of stderr.
    """

    reason = "ENCODE_FAILED"
    retryable = True

    def __init__(
        self,
        message: str,
        *,
        argv: tuple[str, ...] = (),
        exit_code: int | None = None,
        stderr_tail: tuple[str, ...] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, metadata=metadata)
        self.argv = argv
        self.exit_code = exit_code
        self.stderr_tail = stderr_tail
