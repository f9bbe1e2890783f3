import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from distconv.client.cli import jobs
from distconv.client.cli.job_options import CONTAINERS, PROGRESS
from distconv.client.cli.main import COMMANDS, cli, main
from distconv.client.cli.views import Progress
from distconv.core.profile import Container


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_its_help_is_what_the_list_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.get_short_help_str(limit=100) == COMMANDS[name].help


@pytest.mark.parametrize("name", jobs.COMMANDS)
def test_every_command_on_jobs_too(name: str) -> None:
    command = jobs.group.get_command(click.Context(jobs.group), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=100) == jobs.COMMANDS[name].help


def test_words_repeated_for_speed_are_the_same() -> None:
    assert list(CONTAINERS) == list(Container)
    assert list(PROGRESS) == list(Progress)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from distconv.client.cli.main import main; main(['--help']); "
        "main(['jobs', '--help']); "
        "print([m for m in ('grpc', 'rich', 'pydantic', 'google.protobuf', 'asyncio') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_lists_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "Exit codes:" in out
    assert "    8  a disk or a quota is full" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jobs", "paus", "x"], "there is no command 'paus'; did you mean pause"),
        (["jobs", "update", "x"], "say what to change"),
        (["jobs", "update", "x", "--container", "mkv"], "--container goes with --profile"),
        (["jobs", "update", "x", "--tag", "a", "--no-tags"], "contradict"),
        (["jobs", "assign", "x"], "name the ENGINE, or say --any"),
        (["jobs", "delete", "x"], "Say --yes"),
        (["jobs", "list", "--since", "whenever"], "'whenever' is not a time"),
        (["jobs", "tasks", "x", "--engine", "y"], "for the tasks of all jobs"),
        (["engines", "maintenance", "off", "x", "--now"], "--now goes with on"),
        (["engines", "revoke", "x"], "Say --yes"),
        (["trnscode"], "there is no command 'trnscode'; did you mean transcode?"),
        (["profiles", "gte", "x"], "there is no command 'gte'; did you mean get?"),
        (["profiles", "show", "x"], "there is no command 'show'; see 'dcctl profiles --help'"),
        (["objects", "lst"], "there is no command 'lst'; did you mean list?"),
        (["engines", "drian", "x"], "there is no command 'drian'; did you mean drain?"),
        (["events", "wach"], "there is no command 'wach'"),
        (["events", "dead", "lst"], "there is no command 'lst'; did you mean list?"),
        (["transcode", "--nope"], "such option '--nope'"),
        (["transcode", "x.mp4", "-p", "h264"], "--output"),
        (["jobs", "get"], "JOB"),
        (["transcode", "x.mp4", "-o", "y.avi", "-p", "h264"], "'.avi' is not a container"),
        (
            ["transcode", "x.mp4", "-o", "y.mp4", "-p", "h264", "--container", "mkv"],
            "but --container says mkv",
        ),
        (["transcode", "x.mp4", "-o", "y.mp4", "-p", "h264", "--label", "x"], "KEY=VALUE"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert said in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [["objects", "get", "x"], ["download", "x"], ["transcode", "x.mp4", "-p", "copy"]]
)
def test_an_output_on_stdout_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "-o", "-"]) == 3
    assert capsys.readouterr().err == (
        "error: nothing is written to stdout; name a file with --output, './-' for one that is "
        "called '-'\n"
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{x}", "it is no JSON: Expecting property name enclosed in double quotes at character 2"),
        ("[]", "it is not a JSON object"),
    ],
)
def test_a_line_that_is_not_a_job_is_named(
    line: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = tmp_path / "jobs.jsonl"
    batch.write_text(f'{{"source": "objects/a", "profile": "copy"}}\n{line}\n')
    assert main(["jobs", "batch", str(batch)]) == 3
    assert capsys.readouterr().err == (
        f"error: line 2 is not a job: {why}; see 'dcctl jobs batch --help'\n"
    )


def test_json_errors_are_objects_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--json", "transcode", str(tmp_path / "no.mp4"), "-o", "y.mp4", "-p", "h264"]
    assert main(arguments) == 3
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["reason"] == "INVALID_ARGUMENT"
    assert captured.err == f"error: {error['message']}\n"


def test_a_fault_of_ours_is_short_and_debug_shows_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fault(*_: object, **__: object) -> int:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("distconv.client.cli.transcode.check_source", fault)
    arguments = ["transcode", str(tmp_path / "no.mp4"), "-o", str(tmp_path / "y.mp4"), "-p", "h"]
    assert main(arguments) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError: oops" in err
    assert "--debug" in err
    assert "Traceback" not in err
    assert main([*arguments, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_the_answer_to_a_question_about_an_output_is_no_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.mp4").write_bytes(b"x")
    (tmp_path / "out.mp4").write_bytes(b"x")
    arguments = ["transcode", str(tmp_path / "in.mp4"), "-o", str(tmp_path / "out.mp4")]
    assert main([*arguments, "-p", "h264"]) == 7
    assert "--overwrite" in capsys.readouterr().err


def test_nobody_is_asked_about_an_output_whose_terminal_does_not_show_the_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.mp4").write_bytes(b"x")
    (tmp_path / "out.mp4").write_bytes(b"x")
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")  # whoever asks all the same has an answer
    with os.fdopen(ours, "wb"), os.fdopen(theirs) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        arguments = ["transcode", str(tmp_path / "in.mp4"), "-o", str(tmp_path / "out.mp4")]
        assert main([*arguments, "-p", "h264"]) == 7
    said = capsys.readouterr().err
    assert "--overwrite" in said
    assert "Replace it?" not in said


@pytest.mark.parametrize("command", ["transcode", "download", "objects"])
def test_an_output_that_is_named_as_a_folder_has_to_be_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = {
        "transcode": ["transcode", "a.mkv", "-p", "copy"],
        "download": ["download", "1234"],
        "objects": ["objects", "get", "1234"],
    }[command]
    assert main([*arguments, "-o", f"{tmp_path}/none/"]) == 3
    assert "none/' does not exist; make it first" in capsys.readouterr().err


def test_a_batch_that_is_no_text_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\x00\xd3\xff")
    assert main(["jobs", "batch", str(clip)]) == 3
    assert "is no text in UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("group", [[], ["jobs"]])
def test_a_group_without_a_command_prints_its_help(
    group: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*group, "--help"]) == 0
    help_text = capsys.readouterr().out
    assert main(group) == 2
    printed = capsys.readouterr()
    assert printed.err == help_text
    assert not printed.out
