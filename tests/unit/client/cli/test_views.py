import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from distconv.client.cli.jsonable import jsonable
from distconv.client.cli.outcome import Outcome
from distconv.client.cli.views import JsonView, LinesView, job_line
from distconv.client.job import Job, JobOutput, JobSource
from distconv.client.stored import Direction, Transfer
from distconv.core.media import MediaInfo, StreamInfo, StreamKind
from distconv.core.profiles import load_catalogue
from distconv.core.progress import JobProgress
from distconv.core.report import Note, NoteSeverity
from distconv.core.states import JobState


class _Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at


def _job(state: JobState, **fields: object) -> Job:
    return Job(
        name="jobs/a",
        state=state,
        source=JobSource(object="objects/o"),
        profile="profiles/copy",
        **fields,  # type: ignore[arg-type]
    )


def _progress(fraction: float) -> JobProgress:
    return JobProgress(fraction=fraction, fps=50.0, speed=2.0, eta=timedelta(seconds=9))


def test_lines_come_at_every_change_and_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = _Clock()
    view = LinesView(clock)
    view.step(_job(JobState.PENDING, wait_reason="no engine is connected"))
    view.step(_job(JobState.PENDING, wait_reason="no engine is connected"))
    for second in range(12):
        clock.at = second
        view.step(_job(JobState.TRANSCODING, progress=_progress(second / 12)))
    view.step(_job(JobState.COMPLETED))
    assert capsys.readouterr().err.splitlines() == [
        "job a: waiting: no engine is connected",
        "job a: encoding 0 % (50 fps, 2.00×, 0:00:09 left)",
        "job a: encoding 25 % (50 fps, 2.00×, 0:00:09 left)",
        "job a: encoding 50 % (50 fps, 2.00×, 0:00:09 left)",
        "job a: encoding 75 % (50 fps, 2.00×, 0:00:09 left)",
    ]  # its end is said by the command


def test_lines_of_what_goes_on_at_once_do_not_chase_one_another(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = _Clock()
    view = LinesView(clock)
    for tenth in range(1, 41):
        clock.at = tenth / 10
        view.step(Transfer(direction=Direction.UPLOAD, done_bytes=tenth, total_bytes=100))
        view.step(_job(JobState.TRANSCODING, progress=_progress(tenth / 100)))
        view.step(Transfer(direction=Direction.DOWNLOAD, done_bytes=tenth, total_bytes=None))
    view.step(Transfer(direction=Direction.UPLOAD, done_bytes=100, total_bytes=100))
    view.step(Transfer(direction=Direction.DOWNLOAD, done_bytes=50, total_bytes=50))
    assert [line.split(" (")[0] for line in capsys.readouterr().err.splitlines()] == [
        "uploading 1 %",
        "job a: encoding 1 %",
        "downloading while it is written",
        "uploading 31 %",
        "job a: encoding 31 %",
        "downloading while it is written",
        "uploaded 100 bytes",
        "downloaded 50 bytes",
    ]


def test_lines_tell_how_fast_a_transfer_goes_and_how_long_it_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = _Clock()
    view = LinesView(clock)
    for second in range(0, 13, 4):
        clock.at = second
        done = 2_000_000 * second
        view.step(Transfer(direction=Direction.UPLOAD, done_bytes=done, total_bytes=40_000_000))
        view.step(Transfer(direction=Direction.DOWNLOAD, done_bytes=done, total_bytes=None))
    assert capsys.readouterr().err.splitlines() == [
        "uploading 20 % (8.00 MB of 40.0 MB, 2.00 MB/s, 0:00:16 left)",
        "downloading while it is written (8.00 MB so far, 2.00 MB/s)",
        "uploading 40 % (16.0 MB of 40.0 MB, 2.00 MB/s, 0:00:12 left)",
        "downloading while it is written (16.0 MB so far, 2.00 MB/s)",
        "uploading 60 % (24.0 MB of 40.0 MB, 2.00 MB/s, 0:00:08 left)",
        "downloading while it is written (24.0 MB so far, 2.00 MB/s)",
    ]


def test_a_slow_line_shows_that_it_moves(capsys: pytest.CaptureFixture[str]) -> None:
    clock = _Clock()
    view = LinesView(clock)
    begun = 4_000_000_000
    for second in range(41):
        clock.at = second
        done = begun + 50_000 * second
        view.step(Transfer(direction=Direction.DOWNLOAD, done_bytes=done, total_bytes=None))
    assert capsys.readouterr().err.splitlines() == [
        "downloading while it is written (4.00 GB so far)",
        "downloading while it is written (4.00 GB so far, 50.0 kB/s)",
        "downloading while it is written (4.00065 GB so far, 50.0 kB/s)",
        *(
            f"downloading while it is written ({gigabytes} GB so far, 50.0 kB/s)"
            for gigabytes in (
                "4.00080", "4.00095", "4.00110", "4.00125", "4.00140", "4.00155", "4.00170",
                "4.00185", "4.00200",
            )
        ),
    ]  # fmt: skip


def test_what_was_fetched_of_a_file_is_told_before_it_is_encoded() -> None:
    fetched = _job(JobState.ASSIGNED, progress=JobProgress(read_bytes=12_000_000))
    fetched = replace(fetched, source=replace(fetched.source, size_bytes=40_000_000))
    assert job_line(fetched) == "job a: given to an engine (12.0 MB of 40.0 MB fetched)"
    assert job_line(_job(JobState.ASSIGNED)) == "job a: given to an engine"


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonView()
    view.step(Transfer(direction=Direction.UPLOAD, done_bytes=1, total_bytes=2))
    view.step(_job(JobState.TRANSCODING, progress=_progress(0.5)))
    upload, job = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert upload == {"event": "upload", "done_bytes": 1, "total_bytes": 2}
    assert job["event"] == "job"
    assert job["job"]["progress"]["eta_s"] == 9.0


def test_json_lines_are_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    view = JsonView()
    for done in (0, 0, 1, 1, 1, 2, 2, 0, 1):
        view.step(Transfer(direction=Direction.UPLOAD, done_bytes=done, total_bytes=2))
        view.step(Transfer(direction=Direction.DOWNLOAD, done_bytes=7, total_bytes=None))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["done_bytes"] for line in lines if line["event"] == "upload"] == [0, 1, 2, 0, 1]
    assert [line["done_bytes"] for line in lines if line["event"] == "download"] == [7]


def _outcome(size: int, *, was_left: bool = False) -> Outcome:
    media = MediaInfo(
        container="mov",
        size_bytes=size,
        duration_s=30.0,
        bit_rate=0,
        streams=(
            StreamInfo(
                index=0, kind=StreamKind.VIDEO, codec="hevc", width=1280, height=720,
                frame_rate="30000/1001", color_transfer="smpte2084",
            ),
            StreamInfo(
                index=1, kind=StreamKind.AUDIO, codec="aac", channels=2,
                channel_layout="stereo", sample_rate=48_000, language="eng",
            ),
        ),
    )  # fmt: skip
    output = JobOutput(
        object="objects/o",
        size_bytes=size,
        sha256="00",
        media=media,
        notes=(Note(severity=NoteSeverity.LOST, message="the font"),),
    )
    return Outcome(
        job=_job(JobState.COMPLETED),
        output=output,
        path=Path("/films/a.mp4"),
        source_bytes=10_000_000,
        elapsed=timedelta(seconds=10),
        was_left=was_left,
    )


def test_an_outcome_for_people() -> None:
    assert list(_outcome(4_000_000).lines()) == [
        "/films/a.mp4",
        "  video     H.265 1280×720, 29.97 fps, PQ",
        "  audio     AAC stereo, 48 kHz, eng",
        "  length    0:00:30",
        "  size      4.00 MB; the source has 10.0 MB: 6.00 MB (60%) saved",
        "  took      0:00:10 in all, 3.00× real time",
        "  lost      the font",
    ]
    assert "2.00 MB (20%) more" in "\n".join(_outcome(12_000_000).lines())
    # How fast the whole went is not known of one that an earlier run has begun.
    assert "  took      0:00:10, after an earlier run" in _outcome(1, was_left=True).lines()


def test_an_outcome_for_programs() -> None:
    found = _outcome(4_000_000).as_json()
    assert found["saved_fraction"] == pytest.approx(0.6)
    assert found["video"]["codec"] == "hevc"
    assert json.loads(json.dumps(found))["output"] == "/films/a.mp4"


@pytest.mark.parametrize("path", ["/films/a.mp4", "/films/a.M4V", "/films/a"])
def test_the_container_of_an_outcome_is_what_it_is_and_not_its_ending(path: str) -> None:
    outcome = replace(_outcome(1), path=Path(path))
    profile = load_catalogue().get("h264-480p")
    assert (
        replace(outcome, job=replace(outcome.job, profile_spec=profile)).as_json()["container"]
        == "mp4"
    )


def test_values_as_json() -> None:
    job = _job(JobState.PENDING, ttl=timedelta(minutes=1), labels={"a": "b"})
    found = jsonable(job)
    assert found["ttl_s"] == 60.0
    assert found["state"] == "PENDING"
    assert found["labels"] == {"a": "b"}
