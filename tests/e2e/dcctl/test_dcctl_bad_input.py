import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Clips, Up, dcctl, leftovers

_SECRET = "the content of a file that nobody asked for"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def _refused(
    farm: Up, source: Path, out: Path, *, code: int, arguments: tuple[str, ...] = ()
) -> str:
    """Transcode, expect the exit code, one sentence, and nothing left; return the sentence."""
    done = dcctl(
        "transcode", source, "-o", out / "movie.mp4", "-p", "h264-480p", "--json",
        "--server", farm.address, *arguments,
    )  # fmt: skip
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    body = json.loads(done.stdout)["error"]
    assert errors[0] == f"error: {body['message']}"
    assert leftovers(out) == []
    return errors[0]


def test_an_empty_file(farm: Up, clips: Clips, out: Path) -> None:
    assert "empty" in _refused(farm, clips.write("empty.mp4", ""), out, code=3)


def test_a_text_named_mp4(farm: Up, clips: Clips, out: Path) -> None:
    source = clips.write("text.mp4", "Dear diary, today I was a film.\n" * 500)
    _refused(farm, source, out, code=3)


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_half_a_file(farm: Up, clips: Clips, out: Path, kind: str) -> None:
    source = clips.half(clips.tiny if kind == "mp4" else clips.tiny_mkv)
    _refused(farm, source, out, code=3)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize("kind", ["hls", "ffconcat"])
def test_scripts_that_point_at_local_files(
    farm: Up, clips: Clips, out: Path, kind: str, ending: str
) -> None:
    secret = clips.write("secret.txt", _SECRET)
    script = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile 'file://{clips.tiny}'\nfile '{secret}'\n",
    }[kind]
    said = _refused(farm, clips.write(f"movie-{kind}.{ending}", script), out, code=3)
    assert _SECRET not in said


def test_a_path_that_does_not_exist(farm: Up, tmp_path: Path, out: Path) -> None:
    assert "does not exist" in _refused(farm, tmp_path / "missing.mp4", out, code=3)


def test_a_folder(farm: Up, tmp_path: Path, out: Path) -> None:
    assert "folder" in _refused(farm, tmp_path, out, code=3)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(farm: Up, clips: Clips, out: Path) -> None:
    source = clips.write("closed.mp4", "x")
    source.chmod(0)
    assert "permission denied" in _refused(farm, source, out, code=3)


def test_an_unknown_profile_suggests_those_that_are_near(farm: Up, clips: Clips, out: Path) -> None:
    done = dcctl(
        "transcode", clips.tiny, "-o", out / "a.mp4", "-p", "h264-72p", "--server", farm.address
    )
    assert done.returncode == 4
    assert "did you mean h264-720p" in done.stderr
    assert "uploaded" not in done.stderr
    assert leftovers(out) == []


def test_a_profile_value_out_of_range(farm: Up, clips: Clips, tmp_path: Path, out: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text('[mine]\nextends = "h264"\nvideo = { crf = 99 }\n')
    done = dcctl(
        "transcode", clips.tiny, "-o", out / "a.mp4", "-p", profile, "--server", farm.address
    )
    assert done.returncode == 3
    assert "video.crf is 99; it must be a number from 0 to 51" in done.stderr
    assert leftovers(out) == []


def test_a_profile_that_the_container_cannot_hold(farm: Up, clips: Clips, out: Path) -> None:
    done = dcctl(
        "transcode", clips.tiny, "-o", out / "a.webm", "-p", "h264-480p", "--server", farm.address
    )
    assert done.returncode == 3
    assert (
        "'a.webm' cannot hold what profile 'h264-480p' makes (h264); name it 'a.mp4' or 'a.mkv', "
        "or choose a vp9 or av1 profile"
    ) in done.stderr
    assert "uploaded" not in done.stderr


def test_an_output_that_exists(farm: Up, clips: Clips, out: Path) -> None:
    (out / "a.mp4").write_text("mine")
    arguments = (
        "transcode", clips.tiny, "-o", out / "a.mp4", "-p", "copy", "--server", farm.address
    )  # fmt: skip
    done = dcctl(*arguments)
    assert done.returncode == 7
    assert "--overwrite" in done.stderr
    assert (out / "a.mp4").read_text() == "mine"
    assert dcctl(*arguments, "--overwrite").returncode == 0
    assert (out / "a.mp4").stat().st_size > 1000
    assert leftovers(out) == ["a.mp4"]


def test_an_output_folder_that_does_not_exist(farm: Up, clips: Clips, out: Path) -> None:
    done = dcctl(
        "transcode", clips.tiny, "-o", out / "no" / "a.mp4", "-p", "copy", "--server", farm.address
    )
    assert done.returncode == 3
    assert "does not exist" in done.stderr


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 96 KiB."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "distconv-test", str(folder)],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)  # noqa: S607


def test_a_full_disk_at_the_output(farm: Up, clips: Clips, full_disk: Path) -> None:
    done = dcctl(
        "transcode", clips.tiny, "-o", full_disk / "a.mp4", "-p", "copy", "--server", farm.address
    )
    assert done.returncode == 8, done.stderr
    assert "no room for the output" in done.stderr
    assert "dcctl download" in done.stderr
    assert leftovers(full_disk) == []


def test_a_disk_that_fills_up_while_the_output_is_written(
    farm: Up, clips: Clips, out: Path
) -> None:
    done = dcctl(
        "transcode", clips.tiny, "-o", out / "a.mp4", "-p", "copy", "--server", farm.address,
        largest_file=64 * 1024,
    )  # fmt: skip
    assert done.returncode == 8, done.stderr
    assert "no room for the output" in done.stderr
    assert leftovers(out) == []


def test_no_server_listens(clips: Clips, out: Path) -> None:
    for arguments in (
        ("transcode", clips.tiny, "-o", out / "a.mp4", "-p", "copy"),
        ("jobs", "list"),
        ("submit", clips.tiny, "-p", "copy"),
        ("version",),
    ):
        done = dcctl(*arguments, "--server", "127.0.0.1:1")
        assert done.returncode == 5, done.stderr
        assert "no server answers at 127.0.0.1:1" in done.stderr
    assert leftovers(out) == []


def test_some_of_many_inputs_fail(farm: Up, clips: Clips, tmp_path: Path) -> None:
    done = dcctl(
        "submit", tmp_path / "missing.mp4", clips.tiny, "-p", "copy", "--server", farm.address
    )
    assert done.returncode == 3
    assert "does not exist" in done.stderr
    assert "1 of 2 inputs could not be submitted" in done.stderr
    (job,) = done.stdout.split()
    assert dcctl("jobs", "watch", job, "--server", farm.address).returncode == 0


@pytest.mark.parametrize("named", ["film.mkv", "."])
def test_the_original_is_never_replaced(farm: Up, clips: Clips, tmp_path: Path, named: str) -> None:
    film = tmp_path / "film.mkv"
    film.write_bytes(clips.tiny_mkv.read_bytes())
    done = dcctl(
        *("transcode", film, "-o", tmp_path / named, "-p", "copy", "--overwrite"),
        *("--server", farm.address),
    )
    assert done.returncode == 3
    assert "never replaced" in done.stderr
    assert film.read_bytes() == clips.tiny_mkv.read_bytes()


def test_submit_says_in_one_document_what_went_and_what_did_not(
    farm: Up, clips: Clips, tmp_path: Path
) -> None:
    done = dcctl(
        *("submit", clips.tiny, tmp_path / "none.mp4", "-p", "copy", "--json"),
        *("--server", farm.address),
    )
    said = json.loads(done.stdout)
    assert [job["input"] for job in said["jobs"]] == [str(clips.tiny)]
    assert [(error["input"], error["reason"]) for error in said["errors"]] == [
        (str(tmp_path / "none.mp4"), "INVALID_ARGUMENT")
    ]
    assert done.returncode == 3
