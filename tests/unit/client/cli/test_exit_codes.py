import pytest

from distconv.client.cli.exit_codes import MEANINGS, ExitCode, of_error, of_failure
from distconv.client.cli.failing import TimedOutError, code_of
from distconv.client.failures import JobCancelledError, JobFailedError
from distconv.client.job import Job, JobSource
from distconv.client.local import OutputDeniedError, SourceChangedError
from distconv.core import errors as tree
from distconv.core.failure import Failure
from distconv.core.states import JobState


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (tree.InvalidArgumentError("x"), ExitCode.BAD_INPUT),
        (tree.InvalidProfileError("x"), ExitCode.BAD_INPUT),
        (tree.CorruptSourceError("x"), ExitCode.BAD_INPUT),
        (tree.UnknownProfileError("x"), ExitCode.NOT_FOUND),
        (tree.UnavailableError("x"), ExitCode.NO_SERVER),
        (tree.DiskFullError("x"), ExitCode.DISK_FULL),
        (tree.AlreadyExistsError("x"), ExitCode.EXISTS),
        (tree.FailedPreconditionError("x"), ExitCode.REFUSED),
        (SourceChangedError("x"), ExitCode.BAD_INPUT),
        (OutputDeniedError("x"), ExitCode.BAD_INPUT),
        (tree.PermissionDeniedError("x"), ExitCode.REFUSED),
        (tree.DataLossError("x"), ExitCode.DAMAGED),
        (tree.DistconvError("x"), ExitCode.INTERNAL),
    ],
)
def test_errors(error: tree.DistconvError, code: ExitCode) -> None:
    assert of_error(error) is code


def test_every_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


def _failed(reason: str) -> JobFailedError:
    return JobFailedError(
        Job(
            name="jobs/a",
            state=JobState.FAILED,
            source=JobSource(object="objects/o"),
            profile="profiles/copy",
            error=Failure(reason=reason, message="m", retryable=False),
        )
    )


def test_a_failed_job_is_bad_input_when_its_source_was() -> None:
    assert code_of(_failed("CORRUPT_SOURCE")) is ExitCode.BAD_INPUT
    assert code_of(_failed("IMPOSSIBLE_PROFILE")) is ExitCode.BAD_INPUT
    assert code_of(_failed("DISK_FULL")) is ExitCode.DISK_FULL
    assert code_of(_failed("STALLED")) is ExitCode.JOB_FAILED
    assert of_failure("SOMETHING_NEW") is ExitCode.JOB_FAILED


def test_other_ends() -> None:
    assert code_of(TimedOutError("x")) is ExitCode.TIMEOUT
    assert code_of(JobCancelledError(_failed("X").job)) is ExitCode.JOB_CANCELLED
