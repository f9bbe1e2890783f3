"""dcctl profiles: list and show profiles."""

from collections.abc import Iterator

import click

from distconv.client.cli.connecting import open_client
from distconv.client.cli.jsonable import print_json
from distconv.client.cli.lazy import SuggestingGroup
from distconv.client.cli.options import Common, common_options
from distconv.client.cli.profile_choice import from_file
from distconv.client.cli.running import run
from distconv.client.cli.tables import print_fields, print_table
from distconv.core.profile import AudioSettings, Profile, VideoCodec, VideoSettings


@click.group("profiles", cls=SuggestingGroup)
@common_options
def group() -> None:
    """List and show profiles."""


@group.command("list")
@common_options
def list_command() -> int:
    """List the profiles that the server knows."""
    common = Common.current()
    profiles = run(_listed(common))
    if common.as_json:
        print_json({"profiles": profiles})
        return 0
    print_table(
        ("NAME", "CONTAINER", "DESCRIPTION"),
        [(p.name, p.container.value, p.description) for p in profiles],
        empty="no profiles",
    )
    return 0


@group.command("get")
@click.argument("profile", metavar="NAME|FILE.toml[:NAME]")
@common_options
def get_command(*, profile: str) -> int:
    """Show one profile, of the server's or from a file, which is checked so."""
    common = Common.current()
    found = from_file(profile) or run(_got(common, profile))
    if common.as_json:
        print_json(found)
        return 0
    print_fields(_fields(found))
    return 0


async def _listed(common: Common) -> tuple[Profile, ...]:
    async with open_client(common) as client:
        return await client.list_profiles()


async def _got(common: Common, name: str) -> Profile:
    async with open_client(common) as client:
        return await client.get_profile(name)


def _fields(profile: Profile) -> Iterator[tuple[str, str]]:
    yield "profile", profile.name
    yield "is", profile.description
    yield "container", profile.container.value
    yield "video", "dropped" if profile.video is None else _video(profile.video)
    yield "audio", "dropped" if profile.audio is None else _audio(profile.audio)
    for name in ("subtitles", "chapters", "attachments", "metadata"):
        yield name, "kept" if getattr(profile, name) else "dropped"


def _video(video: VideoSettings) -> str:
    if video.codec is VideoCodec.COPY:
        return "as it is"
    parts = [video.codec.value, f"crf {video.crf:g}", f"preset {video.preset}"]
    if video.max_width or video.max_height:
        parts.append(f"at most {video.max_width or 'any'}×{video.max_height or 'any'}")
    if video.gop_s:
        parts.append(f"a key frame every {video.gop_s:g} s")
    if video.tune:
        parts.append(f"tune {video.tune}")
    if video.ten_bit is not None:
        parts.append("10 bit" if video.ten_bit else "8 bit")
    return ", ".join(parts)


def _audio(audio: AudioSettings) -> str:
    if not audio.bit_rate_per_channel:
        return "as it is"
    parts = [audio.codec.value, f"{audio.bit_rate_per_channel / 1000:g} kbit/s for each channel"]
    if audio.max_channels:
        parts.append(f"at most {audio.max_channels} channels")
    return ", ".join(parts)
