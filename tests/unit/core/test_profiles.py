from pathlib import Path

import pytest

from distconv.core.errors import InvalidProfileError, UnknownProfileError
from distconv.core.profile import AudioCodec, Container, VideoCodec
from distconv.core.profiles import load_catalogue, load_profile_file, with_container

_CODECS = {
    "h264": VideoCodec.H264,
    "hevc": VideoCodec.HEVC,
    "av1": VideoCodec.AV1,
    "vp9": VideoCodec.VP9,
}
_BOXES = {"480p": (854, 480), "720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}


@pytest.mark.parametrize("cap", _BOXES)
@pytest.mark.parametrize("codec", _CODECS)
def test_every_codec_ships_with_every_cap(codec: str, cap: str) -> None:
    video = load_catalogue().get(f"{codec}-{cap}").video
    assert video is not None
    assert video.codec is _CODECS[codec]
    assert (video.max_width, video.max_height) == _BOXES[cap]


@pytest.mark.parametrize("codec", _CODECS)
def test_a_plain_name_has_no_cap(codec: str) -> None:
    video = load_catalogue().get(codec).video
    assert video is not None
    assert (video.max_width, video.max_height) == (0, 0)


def test_containers_of_the_shipped_profiles() -> None:
    catalogue = load_catalogue()
    containers = {name: catalogue.get(name).container.value for name in catalogue.names}
    assert {n: c for n, c in containers.items() if "-" not in n or n.startswith("audio")} == {
        "h264": "mp4",
        "hevc": "mp4",
        "av1": "mp4",
        "vp9": "webm",
        "audio-aac": "mp4",
        "audio-opus": "webm",
        "copy": "mkv",
    }


def test_audio_profiles_make_no_video() -> None:
    catalogue = load_catalogue()
    assert catalogue.get("audio-aac").video is None
    assert catalogue.get("audio-opus").video is None


def test_an_unknown_name_suggests_a_close_one() -> None:
    with pytest.raises(UnknownProfileError, match=r"'h264-270p'.*h264-720p"):
        load_catalogue().get("h264-270p")


def test_a_users_profile_extends_a_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        '[mine]\nextends = "h264-720p"\nvideo = { crf = 18.5, threads = 2 }\n'
    )
    video = load_catalogue(tmp_path).get("mine").video
    assert video is not None
    assert (video.crf, video.threads, video.max_height) == (18.5, 2, 720)


def test_a_users_profile_replaces_a_shipped_one_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '["h264-720p"]\nextends = "h264-720p"\nvideo = { preset = "slow" }\n'
    )
    catalogue = load_catalogue(tmp_path)
    video = catalogue.get("h264-720p").video
    assert video is not None
    assert (video.preset, video.crf) == ("slow", 21)
    assert len(catalogue) == len(load_catalogue())


def test_another_codec_starts_its_settings_anew(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(
        '[x]\nextends = "h264"\nvideo = { codec = "vp9", crf = 40 }\naudio = { codec = "opus" }\n'
    )
    profile = load_catalogue(tmp_path).get("x")
    assert profile.video is not None
    assert (profile.video.codec, profile.video.preset) == (VideoCodec.VP9, "")
    assert profile.audio is not None
    assert profile.audio.bit_rate_per_channel == 48_000


def test_video_false_drops_the_video_of_what_is_extended(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[x]\nextends = "h264"\nvideo = false\n')
    assert load_catalogue(tmp_path).get("x").video is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[x]\nextends = "h264"\nvideo = { crf = 99 }', r"a\.toml.*'x'.*video\.crf is 99.*0 to 51"),
        ('[x]\nextends = "av1"\nvideo = { crf = 30.5 }', r"video\.crf.*whole numbers"),
        ('[x]\nextends = "h264"\nvideo = { crv = 9 }', r"video\.crv is not a key.*crf"),
        ('[x]\nextends = "h264"\nvideo = { preset = "8" }', r"video\.preset is '8'.*veryslow"),
        ('[x]\nextends = "h264"\nvideo = { max_width = 8 }', r"video\.max_width is 8.*16"),
        ('[x]\nextends = "h264"\nvideo = { ten_bit = 1 }', r"video\.ten_bit is 1.*true or false"),
        ('[x]\nextends = "h264"\naudio = { bit_rate_per_channel = 1 }', r"bit_rate_per_channel"),
        ('[x]\nextends = "h264"\ncolour = 1', r"colour is not a key"),
        ('[x]\nextends = "h264"\ncontainer = "avi"', r"container is 'avi'.*mp4, mkv, webm"),
        ('[x]\nextends = "h264"\ncontainer = "webm"', r"container is 'webm'.*h264"),
        ('[x]\nextends = "copy"\nvideo = { codec = "copy", crf = 1 }', r"takes no other key"),
        ('[x]\nextends = "nobody"', r"extends is 'nobody'"),
        ('[x]\nextends = "y"\n[y]\nextends = "x"', r"goes round in a circle"),
        ('[x]\ncontainer = "mp4"', r"video and audio are both missing"),
        ("x = 1", r"'x' stands outside"),
        ('["No Name"]\nextends = "h264"', r"'No Name' is no name"),
        ("[x", r"a\.toml: not valid TOML"),
        ('[x]\nextends = "h264"\nvideo = 3', r"video is 3; it must be a table"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(InvalidProfileError, match=message):
        load_catalogue(tmp_path)


def test_the_same_name_in_two_files_is_refused(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text('[x]\nextends = "h264"\n')
    with pytest.raises(InvalidProfileError, match=r"b\.toml: profile 'x' stands in a\.toml"):
        load_catalogue(tmp_path)


def test_a_file_that_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.toml").mkdir()
    (tmp_path / "b.toml").write_bytes(b"[\xe4]")
    for name, why in (
        ("no", "there is no such file"),
        ("a", "cannot be read: Is a directory"),
        ("b", "is no text in UTF-8: its byte 2 is none"),
    ):
        with pytest.raises(InvalidProfileError, match=rf"^{name}\.toml: {why}$"):
            load_profile_file(tmp_path / f"{name}.toml")


def test_a_missing_directory_counts_as_empty(tmp_path: Path) -> None:
    assert load_catalogue(tmp_path / "none").names == load_catalogue().names


def test_another_container_is_checked() -> None:
    catalogue = load_catalogue()
    assert with_container(catalogue.get("hevc"), "mkv").container is Container.MKV
    with pytest.raises(InvalidProfileError, match=r"'webm', which cannot hold h264"):
        with_container(catalogue.get("h264"), Container.WEBM)
    with pytest.raises(InvalidProfileError, match=r"'avi' is not a container"):
        with_container(catalogue.get("h264"), "avi")


def test_webm_turns_aac_into_opus() -> None:
    changed = with_container(load_catalogue().get("audio-aac"), Container.WEBM)
    assert changed.audio is not None
    assert changed.audio.codec is AudioCodec.OPUS
