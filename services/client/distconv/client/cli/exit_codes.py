"""What dcctl's exit codes mean, and which error gives which."""

from enum import IntEnum

from distconv.client.local import OutputDeniedError, SourceChangedError
from distconv.core import errors as tree


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    BAD_INPUT = 3
    NOT_FOUND = 4
    NO_SERVER = 5
    JOB_FAILED = 6
    EXISTS = 7
    DISK_FULL = 8
    TIMEOUT = 9
    JOB_CANCELLED = 10
    REFUSED = 11
    DAMAGED = 12
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.INTERNAL: "a fault of dcctl or of the server itself",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.BAD_INPUT: "the input, profile, output, folder or port named is not usable",
    ExitCode.NOT_FOUND: "no such job, engine, profile or object",
    ExitCode.NO_SERVER: "no server answers, or it was lost on the way",
    ExitCode.JOB_FAILED: "the job failed",
    ExitCode.EXISTS: "the output exists",
    ExitCode.DISK_FULL: "a disk or a quota is full, here or at the server",
    ExitCode.TIMEOUT: "--timeout ran out",
    ExitCode.JOB_CANCELLED: "the job was cancelled by someone else",
    ExitCode.REFUSED: "the server refused: not allowed, or not in this state",
    ExitCode.DAMAGED: "data is damaged, in storage or on its way, and could not be mended",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); 143 when ended by TERM, 129 by HUP",
}

# What is wrong with the video or what was asked of it: no retry mends it.
_BAD_INPUT = (
    tree.InvalidArgumentError,
    tree.CorruptSourceError,
    tree.UnsupportedSourceError,
    tree.ImpossibleProfileError,
)
_BAD_INPUT_REASONS = frozenset(cls.reason for cls in _BAD_INPUT) | {tree.InvalidProfileError.reason}

# The first class that matches counts.
_CODES: tuple[tuple[type[tree.DistconvError], ExitCode], ...] = (
    *((cls, ExitCode.BAD_INPUT) for cls in _BAD_INPUT),
    # Trouble of this machine alone, though a server may have its like.
    (SourceChangedError, ExitCode.BAD_INPUT),
    (OutputDeniedError, ExitCode.BAD_INPUT),
    (tree.NotFoundError, ExitCode.NOT_FOUND),
    (tree.UnavailableError, ExitCode.NO_SERVER),
    (tree.DeadlineExceededError, ExitCode.NO_SERVER),
    (tree.AlreadyExistsError, ExitCode.EXISTS),
    (tree.ResourceExhaustedError, ExitCode.DISK_FULL),
    (tree.CancelledError, ExitCode.JOB_CANCELLED),
    (tree.DataLossError, ExitCode.DAMAGED),
    (tree.UnauthenticatedError, ExitCode.REFUSED),
    (tree.PermissionDeniedError, ExitCode.REFUSED),
    (tree.FailedPreconditionError, ExitCode.REFUSED),
    (tree.UnimplementedError, ExitCode.REFUSED),
    (tree.MediaError, ExitCode.JOB_FAILED),
)


def of_failure(reason: str) -> ExitCode:
    """Return the exit code for a job that failed with `reason`."""
    if reason in _BAD_INPUT_REASONS:
        return ExitCode.BAD_INPUT
    if reason in (tree.DiskFullError.reason, tree.QuotaExceededError.reason):
        return ExitCode.DISK_FULL
    if reason == tree.DamagedObjectError.reason:
        return ExitCode.DAMAGED
    return ExitCode.JOB_FAILED


def of_error(error: tree.DistconvError) -> ExitCode:
    """Return the exit code for an error."""
    return next((code for cls, code in _CODES if isinstance(error, cls)), ExitCode.INTERNAL)


def epilog() -> str:
    """Return the table of exit codes for `dcctl --help`."""
    lines = [f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items()]
    return "\n".join(["\b", "Exit codes:", *lines])
