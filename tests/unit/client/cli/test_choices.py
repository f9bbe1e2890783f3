from pathlib import Path

import click
import pytest

from distconv.client.cli.children import dispatch_spec, engine_spec
from distconv.client.cli.naming import check_ending, container_for, placed
from distconv.client.cli.profile_choice import from_file
from distconv.core.errors import InvalidArgumentError, InvalidProfileError
from distconv.core.profile import Container


@pytest.mark.parametrize(
    ("name", "asked", "container"),
    [
        ("a.mp4", None, Container.MP4),
        ("a.MKV", None, Container.MKV),
        ("a.m4a", None, Container.MP4),
        ("a", None, None),
        ("a", "webm", Container.WEBM),
        ("a.film", "mkv", Container.MKV),
        ("a.mkv", "mkv", Container.MKV),
    ],
)
def test_the_name_chooses_the_container(
    name: str, asked: str | None, container: Container | None
) -> None:
    assert container_for(Path(name), asked) is container


@pytest.mark.parametrize(("name", "asked"), [("a.avi", None), ("a.mp4", "mkv")])
def test_names_that_contradict(name: str, asked: str | None) -> None:
    with pytest.raises(click.UsageError):
        container_for(Path(name), asked)


@pytest.mark.parametrize("name", ["a.mp4", "a.M4V", "a", "a.part", "a.2024"])
def test_names_that_promise_no_other_media(name: str) -> None:
    check_ending(Path(name), Container.MP4, what="it")


@pytest.mark.parametrize("name", ["a.webm", "a.MKV", "a.mov", "a.mp3"])
def test_names_that_promise_other_media(name: str) -> None:
    with pytest.raises(
        InvalidArgumentError, match=f"it is MP4 and not what '{name}' says; name it 'a.mp4'"
    ):
        check_ending(Path(name), Container.MP4, what="it")


def test_a_folder_promises_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder.webm").mkdir()
    check_ending(tmp_path / "folder.webm", Container.MP4, what="it")


def test_a_folder_takes_the_source_s_name(tmp_path: Path) -> None:
    assert placed(tmp_path, stem="film", container=Container.MKV) == tmp_path / "film.mkv"
    file = tmp_path / "x.mp4"
    assert placed(file, stem="film", container=Container.MKV) == file


_TWO = """
[small]
extends = "h264-480p"
video = { crf = 30 }

[tiny]
extends = "h264-480p"
video = { max_height = 240, max_width = 426 }
"""


def test_profiles_of_one_s_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(_TWO)
    chosen = from_file(f"{file}:tiny")
    assert chosen is not None
    assert chosen.video is not None
    assert chosen.video.max_height == 240
    assert from_file("h264-720p") is None
    with pytest.raises(InvalidProfileError, match="holds several profiles; choose one"):
        from_file(str(file))
    with pytest.raises(InvalidProfileError, match="'huge'"):
        from_file(f"{file}:huge")
    file.write_text(_TWO.split("[tiny]", maxsplit=1)[0])
    only = from_file(str(file))
    assert only is not None
    assert only.name == "small"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[p]\ncontainer = "mp4"\nvideo = { codec = "h264", crf = 99 }', "from 0 to 51"),
        ('[p]\ncontainer = "mp4"\nvideo = { codec = "h265" }', "one of"),
        ("[p", "not valid TOML"),
        ("", "it holds none"),
    ],
)
def test_profiles_that_are_wrong_say_what_is_allowed(
    tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(InvalidProfileError, match=said):
        from_file(str(file))


def test_a_profile_file_that_is_not_there() -> None:
    with pytest.raises(InvalidProfileError, match="there is no such file"):
        from_file("/nowhere/mine.toml")


def test_command_lines_of_the_children() -> None:
    dispatch = dispatch_spec(bind="127.0.0.1:0", data_dir=Path("/d"), log=None)
    assert dispatch.argv[1:] == (
        "-m", "distconv.dispatch.main", "--exit-on-stdin-eof",
        "--bind", "127.0.0.1:0", "--data-dir", "/d", "--log-level", "info",
    )  # fmt: skip
    engine = engine_spec(
        2, dispatch="127.0.0.1:7400", data_dir=Path("/d"), slots=3, log=None, log_level="error"
    )
    assert engine.argv[1:] == (
        "-m", "distconv.engine.main", "--exit-on-stdin-eof",
        "--dispatch", "127.0.0.1:7400", "--data-dir", "/d/engine-2", "--slots", "3",
        "--log-level", "error",
    )  # fmt: skip
