import pytest

from distconv.core.engine import EngineCapabilities, TranscoderInfo
from distconv.core.profiles import load_catalogue
from distconv.core.requirements import Requirements

CATALOGUE = load_catalogue()


def engine(*tools: TranscoderInfo, tags: tuple[str, ...] = ()) -> EngineCapabilities:
    return EngineCapabilities(transcoders=tools, tags=tags)


def tool(*encoders: str, muxers: tuple[str, ...] = ("mp4", "matroska", "webm")) -> TranscoderInfo:
    return TranscoderInfo(name="t", version="1", build_id="b", encoders=encoders, muxers=muxers)


@pytest.mark.parametrize(
    ("profile", "key"),
    [
        ("h264-720p", "encoder=aac encoder=libx264 muxer=mp4"),
        ("av1-1080p", "encoder=libopus encoder=libsvtav1 muxer=mp4"),
        ("copy", "muxer=matroska"),
    ],
)
def test_a_profile_needs_its_encoders_and_its_muxer(profile: str, key: str) -> None:
    requirements = Requirements.of_profile(CATALOGUE.get(profile))
    assert requirements.key == key
    assert Requirements.of_key(key).key == key


def test_a_probe_needs_nothing() -> None:
    assert Requirements().key == ""
    assert Requirements.of_key("") == Requirements()
    assert Requirements().missing_from(engine()) == ()


def test_one_tool_has_to_have_it_all() -> None:
    needed = Requirements(encoders=("aac", "libx264"), muxers=("mp4",))
    assert needed.missing_from(engine(tool("aac", "libx264"))) == ()
    assert needed.missing_from(engine(tool("aac"), tool("libx264"))) == ("libx264",)
    assert needed.missing_from(engine()) == ("aac", "libx264", "mp4")
    assert needed.missing_from(engine(tool("aac", "libx264", muxers=()))) == ("mp4 muxer",)


def test_tags_are_the_engines() -> None:
    needed = Requirements(tags=("gpu",))
    assert needed.missing_from(engine(tool())) == ("tag gpu",)
    assert needed.missing_from(engine(tool(), tags=("gpu",))) == ()


def test_a_job_may_want_one_engine_alone() -> None:
    needed = Requirements(muxers=("mp4",), tags=("gpu",), engine="0abc")
    assert needed.key == "engine=0abc muxer=mp4 tag=gpu"
    assert Requirements.of_key(needed.key) == needed
    fit = engine(tool(), tags=("gpu",))
    assert needed.missing_from(fit, engine_id="0abc") == ()
    assert needed.missing_from(fit, engine_id="0xyz") == ("the id 0abc",)
    profile = CATALOGUE.get("copy")
    pinned = Requirements.of_profile(profile, tags=("b", "a"), engine="0abc")
    assert pinned.key == "engine=0abc muxer=matroska tag=a tag=b"


def test_scratch_disk_is_the_engine_s_in_all() -> None:
    needed = Requirements.of_profile(CATALOGUE.get("copy"), scratch_bytes=5 << 20)
    assert needed.key == f"muxer=matroska scratch={5 << 20}"
    assert Requirements.of_key(needed.key) == needed
    able = EngineCapabilities(transcoders=(tool(),), scratch_bytes=5 << 20)
    assert needed.missing_from(able) == ()
    assert needed.missing_from(engine(tool())) == ("5 MiB of scratch disk",)
