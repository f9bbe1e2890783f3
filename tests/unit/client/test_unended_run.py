import time
from concurrent.futures import ThreadPoolExecutor
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


def test_what_is_old_is_forgotten_however_often_it_was_taken_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_s = time.time()
    with UnendedRun(["a"], folder=folder) as run:
        asked = run.ask("a", "objects/one")
    for hours, expected in ((10, asked), (20, asked), (25, None)):
        monkeypatch.setattr("time.time", lambda h=hours: begin_s + h * 3600)
        with UnendedRun(["a"], folder=folder) as run:
            assert run.asked("a") == expected
    assert journals(folder) == []


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b'{"key": [], "request_id": "x", "source": "y", "asked_s": 1e12}\n',
        b'{"key": "a", "request_id": "x", "source": "y", "asked_s": "soon"}\n',
        b'["a"]\n',
        b"null\n",
    ],
)
def test_a_damaged_line_says_nothing(folder: Path, line: bytes) -> None:
    with UnendedRun(["a", "b"], folder=folder) as run:
        asked = run.ask("a", "objects/one")
    (name,) = journals(folder)
    with (folder / name).open("ab") as file:
        file.write(line)
    with UnendedRun(["a", "b"], folder=folder) as run:
        assert run.asked("a") == asked


def test_what_else_lies_in_the_folder_takes_nobodys_memory(folder: Path) -> None:
    with UnendedRun(["a"], folder=folder) as run:
        asked = run.ask("a", "objects/one")
    (folder / "0").mkdir()
    (folder / "1").symlink_to(folder / "nowhere")
    with UnendedRun(["a"], folder=folder) as run:
        assert run.asked("a") == asked
        run.ask("a", "objects/two")
    with UnendedRun(["a"], folder=folder) as run:
        assert run.asked("a") != asked


def test_runs_at_once_all_remember(folder: Path) -> None:
    def one(number: int) -> bool:
        with UnendedRun(["a", f"{number}"], folder=folder) as run:
            asked = run.ask(f"{number}", "objects/one")
        with UnendedRun([f"{number}"], folder=folder) as run:
            kept = run.asked(f"{number}") == asked
            run.done()
        return kept

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(200)))
    assert journals(folder) == []


def test_without_keys_nothing_is_remembered(folder: Path) -> None:
    with UnendedRun((), folder=folder) as run:
        run.ask("", "objects/one")
    assert not folder.exists()


def test_without_a_place_it_remembers_nothing_and_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with UnendedRun(["a"], folder=tmp_path / "file" / "runs") as run:
        asked = run.ask("a", "objects/one")
        assert run.asked("a") == asked
