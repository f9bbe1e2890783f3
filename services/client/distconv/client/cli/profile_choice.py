"""The profile of a command: a name that the server knows, or a file of one's own."""

from pathlib import Path

from distconv.client.client import Client
from distconv.core.errors import InvalidProfileError
from distconv.core.profile import Container, Profile
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
    client: Client, choice: str, container: Container | None
) -> tuple[str | Profile, Profile]:
    """Return what to send to the server, and the profile as it will be applied.

    Raises UnknownProfileError, and InvalidProfileError when it does not fit the container.
    """
    own = from_file(choice)
    profile = own if own is not None else await client.get_profile(choice)
    applied = with_container(profile, container) if container is not None else profile
    return (own if own is not None else choice), applied
