from distconv.client.cli.transcode import kept
from distconv.client.job import Job, JobOutput, JobSource
from distconv.core.errors import AlreadyExistsError, DiskFullError
from distconv.core.states import JobState

JOB = Job(
    name="jobs/a",
    state=JobState.COMPLETED,
    source=JobSource(object="objects/s"),
    profile="profiles/copy",
)
OUTPUT = JobOutput(object="objects/o", size_bytes=1, sha256="00")


def test_a_result_without_a_place_is_told_of() -> None:
    assert kept(JOB, OUTPUT, AlreadyExistsError("it exists")) == (
        "the result is not lost: it is objects/o at the server; fetch it with "
        "'dcctl download a -o OUTPUT'"
    )


def test_a_result_without_room_waits_for_the_same_command() -> None:
    assert kept(JOB, OUTPUT, DiskFullError("no room")) == (
        "the result is not lost: it is objects/o at the server; once there is room the same "
        "command goes on with it, or fetch it with 'dcctl download a -o OUTPUT'"
    )
