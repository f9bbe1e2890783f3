"""The catalogue of profiles: those shipped with distconv and a user's own."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

from distconv.core.errors import InvalidProfileError, UnknownProfileError
from distconv.core.profile import AudioCodec, AudioSettings, Container, Profile
from distconv.core.profile_schema import build_profile, check_container

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_SHIPPED = "profiles.toml"
_MAX_FILE_BYTES = 1 << 20
# When WebM is asked for a profile whose audio is AAC: Opus at the rate of the
# shipped Opus profiles (48 kbit/s per channel, transparent to most by the Opus wiki).
_WEBM_AUDIO = AudioSettings(codec=AudioCodec.OPUS, bit_rate_per_channel=48_000)


@dataclass(frozen=True, slots=True)
class _Raw:
    """One profile's table as it stands in a file."""

    file: str
    values: Mapping[str, object]


_Layer = Mapping[str, _Raw]


class ProfileCatalogue:
    """Hold checked profiles by name; iterate over them in order of name."""

    def __init__(self, profiles: Mapping[str, Profile]) -> None:
        self._profiles = dict(sorted(profiles.items()))

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._profiles.values())

    def __len__(self) -> int:
        return len(self._profiles)

    def __contains__(self, name: object) -> bool:
        return name in self._profiles

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names, sorted."""
        return tuple(self._profiles)

    def get(self, name: str) -> Profile:
        """Return the profile `name`.

        Raises UnknownProfileError, which suggests names that are close.
        """
        if (profile := self._profiles.get(name)) is not None:
            return profile
        close = difflib.get_close_matches(name.lower(), self._profiles, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(close)}?" if close else "'dcctl profiles list' shows all"
        raise UnknownProfileError(
            f"no profile is named '{name[:80]}'; {hint}",
            metadata={"profile": name[:80], "close": ",".join(close)},
        )


def load_catalogue(user_directory: Path | None = None) -> ProfileCatalogue:
    """Load the shipped profiles and, over them, those of `user_directory`/*.toml.

    A user's profile replaces a shipped one of the same name; one that `extends`
    its own name starts from the one that it replaces. A directory that is not
    there counts as empty. Raises InvalidProfileError.
    """
    shipped = resources.files("distconv.core") / "profile_data" / _SHIPPED
    layers: list[_Layer] = [parse_profiles(shipped.read_text("utf-8"), file=_SHIPPED)]
    if user_directory is not None and user_directory.is_dir():
        layers.append(_user_layer(user_directory))
    names = {name for layer in layers for name in layer}
    return ProfileCatalogue({name: _build(name, layers) for name in names})


def load_profile_file(path: Path) -> tuple[Profile, ...]:
    """Load the profiles of one file, which may extend the shipped ones, in order of name.

    Raises InvalidProfileError.
    """
    shipped = resources.files("distconv.core") / "profile_data" / _SHIPPED
    own = parse_profiles(_read(path), file=path.name)
    layers = [parse_profiles(shipped.read_text("utf-8"), file=_SHIPPED), own]
    return tuple(_build(name, layers) for name in sorted(own))


def with_container(profile: Profile, container: Container | str) -> Profile:
    """Return `profile` for another container.

    WebM holds no AAC: a profile with AAC gets Opus there. Raises
    InvalidProfileError when the container cannot hold the profile's video, or
    is not one that distconv writes.
    """
    if container not in list(Container):
        raise InvalidProfileError(
            f"'{container}' is not a container; the containers are {', '.join(Container)}",
            field="container",
        )
    audio = profile.audio
    if container == Container.WEBM and audio is not None and audio.codec is AudioCodec.AAC:
        audio = replace(_WEBM_AUDIO, max_channels=audio.max_channels)
    changed = replace(profile, container=Container(container), audio=audio)
    check_container(changed)
    return changed


def parse_profiles(text: str, *, file: str) -> _Layer:
    """Parse a TOML file of profiles; each top-level table is one profile.

    Raises InvalidProfileError; the values themselves are checked later.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidProfileError(f"{file}: not valid TOML: {error}", field="file") from error
    for name, values in document.items():
        if not _NAME.fullmatch(name):
            raise InvalidProfileError(
                f"{file}: '{name}' is no name for a profile: lower-case letters, digits, "
                "'.', '_' and '-', at most 64",
                field=name,
            )
        if not isinstance(values, dict):
            raise InvalidProfileError(
                f"{file}: '{name}' stands outside any profile; a profile is a table [{name}]",
                field=name,
            )
    return {name: _Raw(file, values) for name, values in document.items()}


def _user_layer(directory: Path) -> _Layer:
    layer: dict[str, _Raw] = {}
    for path in sorted(directory.glob("*.toml")):
        for name, raw in parse_profiles(_read(path), file=path.name).items():
            if name in layer:
                raise InvalidProfileError(
                    f"{path.name}: profile '{name}' stands in {layer[name].file} already",
                    field=name,
                )
            layer[name] = raw
    return layer


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise InvalidProfileError(
                f"{path.name}: larger than {_MAX_FILE_BYTES} bytes", field="file"
            )
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidProfileError(f"{path.name}: {_why(error)}", field="file") from error


def _why(error: OSError | UnicodeDecodeError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnicodeDecodeError):
        return f"is no text in UTF-8: its byte {error.start + 1} is none"
    return f"cannot be read: {error.strerror or error}"


def _build(name: str, layers: Sequence[_Layer]) -> Profile:
    depth = max(k for k, layer in enumerate(layers) if name in layer)
    return build_profile(
        name, _resolve(name, layers, depth, seen=()), file=layers[depth][name].file
    )


def _resolve(
    name: str, layers: Sequence[_Layer], depth: int, *, seen: tuple[tuple[str, int], ...]
) -> dict[str, object]:
    """Return the values of `name` as `layers[depth]` has it, laid over what it extends."""
    raw = layers[depth][name]
    values = dict(raw.values)
    parent = values.pop("extends", None)
    if parent is None:
        return values
    below = depth if parent == name else len(layers)
    found = [k for k in range(below) if parent in layers[k]] if isinstance(parent, str) else []
    step = (name, depth)
    if not found or step in seen:
        why = "goes round in a circle" if step in seen else f"is {parent!r}, which is no profile"
        raise InvalidProfileError(f"{raw.file}: profile '{name}': extends {why}", field="extends")
    base = _resolve(str(parent), layers, found[-1], seen=(*seen, step))
    return _overlay(base, values)


def _overlay(base: dict[str, object], values: Mapping[str, object]) -> dict[str, object]:
    """Lay `values` over `base`: tables key by key, unless they name another codec."""
    merged = dict(base)
    for key, value in values.items():
        under = merged.get(key)
        if isinstance(value, dict) and isinstance(under, dict):
            same = value.get("codec", under.get("codec")) == under.get("codec")
            merged[key] = {**under, **value} if same else value
        elif value is False and key in ("video", "audio"):
            merged.pop(key, None)
        else:
            merged[key] = value
    return merged
