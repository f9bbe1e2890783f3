"""The profile of a command: a name that the server knows, or a file of one's own."""

from pathlib import Path

from distconv.client.client import Client
from distconv.core.errors import InvalidProfileError
from distconv.core.profile import Container, Profile, VideoCodec
from distconv.core.profile_schema import VIDEO_IN
from distconv.core.profiles import load_profile_file, with_container


def from_file(choice: str) -> Profile | None:
    """Return the profile that `choice` names in a file; None when it names none.

    `file.toml` takes the file's only profile, `file.toml:name` one of several.
    Raises InvalidProfileError.
    """
    head, colon, name = choice.rpartition(":")
    if colon and head.endswith(".toml"):
        file = Path(head)
    elif choice.endswith(".toml"):
        file, name = Path(choice), ""
    else:
        return None
    profiles = {profile.name: profile for profile in load_profile_file(file)}
    if name in profiles:
        return profiles[name]
    if not name and len(profiles) == 1:
        return next(iter(profiles.values()))
    raise InvalidProfileError(
        f"{file}: {f'no profile is named {name!r} in it' if name else 'holds several profiles'}; "
        f"choose one: {', '.join(f'{file}:{known}' for known in profiles) or 'it holds none'}",
        field="profile",
    )


async def chosen(
    client: Client, choice: str, container: Container | None, *, output: Path | None = None
) -> tuple[str | Profile, Profile]:
    """Return what to send to the server, and the profile as it will be applied.

    `output` is the file whose ending has chosen the container, if one has. Raises
    UnknownProfileError, and InvalidProfileError when it does not fit the container.
    """
    own = from_file(choice)
    profile = own if own is not None else await client.get_profile(choice)
    try:
        applied = with_container(profile, container) if container is not None else profile
    except InvalidProfileError as error:
        if output is None or container is None or profile.video is None:
            raise
        raise _unfit(output, container, profile.name, profile.video.codec) from error
    return (own if own is not None else choice), applied


def _unfit(
    output: Path, container: Container, profile: str, codec: VideoCodec
) -> InvalidProfileError:
    """Return the error of an output whose ending stands for what cannot hold the video."""
    names = [output.with_suffix(f".{c}").name for c in Container if codec in VIDEO_IN[c]]
    codecs = sorted(VIDEO_IN[container] - {VideoCodec.COPY}, reverse=True)
    return InvalidProfileError(
        f"'{output.name}' cannot hold what profile '{profile}' makes ({codec}); name it "
        f"{' or '.join(repr(name) for name in names)}, or choose a {' or '.join(codecs)} profile",
        field="container",
    )
