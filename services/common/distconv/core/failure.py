"""Why a job, task or attempt failed, as a value that is stored and sent."""

from dataclasses import dataclass
from typing import Self

from distconv.core.errors import DistconvError, EncodeFailedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something failed.

    `reason` is the error's stable name; `retryable` says whether another
    attempt may succeed; `exit_code` is the encoder's, negative for a signal.
    """

    reason: str
    message: str
    retryable: bool
    argv: tuple[str, ...] = ()
    exit_code: int | None = None
    stderr_tail: tuple[str, ...] = ()

    @classmethod
    def of(cls, error: DistconvError) -> Self:
        """Describe an error of the tree."""
        if isinstance(error, EncodeFailedError):
            return cls(
                reason=error.reason,
                message=error.message,
                retryable=error.retryable,
                argv=error.argv,
                exit_code=error.exit_code,
                stderr_tail=error.stderr_tail,
            )
        return cls(reason=error.reason, message=error.message, retryable=error.retryable)
