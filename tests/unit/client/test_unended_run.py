import os
from pathlib import Path

import pytest

from distconv.client.unended_run import UnendedRun


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "runs"


def journals(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def test_what_a_run_that_did_not_end_asked_for_is_known_to_the_next(folder: Path) -> None:
    with UnendedRun(["a", "b"], folder=folder) as run:
        asked = run.ask("a", "objects/one")
    for _ in range(2):  # and to the one after that, when that does not end either
        with UnendedRun(["b", "a"], folder=folder) as run:
            assert run.asked("a") == asked
            assert run.asked("b") is None
    assert len(journals(folder)) == 1


def test_what_a_run_that_ended_asked_for_is_forgotten(folder: Path) -> None:
    with UnendedRun(["a"], folder=folder) as run:
        run.ask("a", "objects/one")
        run.done()
    assert journals(folder) == []


def test_a_run_takes_over_only_what_it_is_about(folder: Path) -> None:
    with UnendedRun(["a", "b"], folder=folder) as run:
        run.ask("a", "objects/one")
        asked = run.ask("b", "objects/two")
    with UnendedRun(["a"], folder=folder) as run:
        assert run.asked("b") is None
        run.done()
    with UnendedRun(["a", "b"], folder=folder) as run:
        assert run.asked("a") is None
        assert run.asked("b") == asked


def test_nothing_is_taken_of_a_run_that_is_alive(folder: Path) -> None:
    with UnendedRun(["a"], folder=folder) as run:
        run.ask("a", "objects/one")
        with UnendedRun(["a"], folder=folder) as other:
            assert other.asked("a") is None


def test_the_last_request_for_a_thing_counts_and_half_a_line_does_not(folder: Path) -> None:
    with UnendedRun(["a"], folder=folder) as run:
        run.ask("a", "objects/one")
        asked = run.ask("a", "objects/two")
    (name,) = journals(folder)
    with (folder / name).open("a") as file:
        file.write('{"key": "a", "req')
    with UnendedRun(["a"], folder=folder) as run:
        assert run.asked("a") == asked


def test_what_is_old_is_forgotten(folder: Path) -> None:
    with UnendedRun(["a"], folder=folder) as run:
        run.ask("a", "objects/one")
    (name,) = journals(folder)
    os.utime(folder / name, (1, 1))
    with UnendedRun(["a"], folder=folder) as run:
        assert run.asked("a") is None
    assert journals(folder) == []


def test_without_a_place_it_remembers_nothing_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with UnendedRun(["a"], folder=tmp_path / "file" / "runs") as run:
        asked = run.ask("a", "objects/one")
        assert run.asked("a") == asked
