"""The one boundary at which a job order is checked. Pure, but for the catalogue of profiles."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from distconv.core.errors import InvalidArgumentError, InvalidProfileError
from distconv.core.names import bare, parse_id
from distconv.core.profile import AudioSettings, Profile, VideoSettings
from distconv.core.profile_schema import build_profile
from distconv.core.profiles import ProfileCatalogue, with_container
from distconv.dispatch.order import JobOrder

MAX_PRIORITY = 100
MAX_LABELS = 32
_MAX_FILE_NAME = 255
_MAX_REQUEST_ID = 64
_MAX_TTL = timedelta(days=3650)
_LABEL_KEY = re.compile(r"[a-z0-9_.-]{1,63}")
_MAX_LABEL_VALUE = 255
_PROFILE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_OWN_PROFILE = "custom"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """What the server caps."""

    default_max_retries: int
    max_retries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedOrder:
    """An order all of whose values are in their ranges."""

    source_object_id: str
    source_file_name: str
    profile: Profile
    priority: int
    deadline: datetime | None
    ttl: timedelta | None
    max_retries: int
    labels: Mapping[str, str]
    request_id: str
    digest: str
    validate_only: bool


def check_order(
    order: JobOrder, *, catalogue: ProfileCatalogue, limits: JobLimits, now: datetime
) -> CheckedOrder:
    """Check every value of an order.

    Raises InvalidArgumentError naming the field, InvalidProfileError, or
    UnknownProfileError.
    """
    return CheckedOrder(
        source_object_id=parse_id(order.source_object, "objects", field="job.source.object"),
        source_file_name=_file_name(order.source_file_name),
        profile=_profile(order, catalogue),
        priority=_between(order.priority, -MAX_PRIORITY, MAX_PRIORITY, "job.priority"),
        deadline=_deadline(order.deadline, now),
        ttl=_ttl(order.ttl),
        max_retries=_max_retries(order.max_retries, limits),
        labels=_labels(order.labels),
        request_id=_request_id(order.request_id),
        digest=digest(order),
        validate_only=order.validate_only,
    )


def digest(order: JobOrder) -> str:
    """Return the SHA-256 of what an order asks for, its request id left out."""
    content = dataclasses.replace(order, request_id="", labels=dict(sorted(order.labels.items())))
    return hashlib.sha256(repr(content).encode()).hexdigest()


def _file_name(name: str) -> str:
    if not 1 <= len(name) <= _MAX_FILE_NAME or name in (".", ".."):
        raise _wrong("job.source.file_name", f"has {len(name)} characters", "1 to 255 characters")
    if "/" in name or "\\" in name or _CONTROL.search(name):
        raise _wrong("job.source.file_name", repr(name), "a file's own name, without its folder")
    return name


def _profile(order: JobOrder, catalogue: ProfileCatalogue) -> Profile:
    if order.profile and order.profile_spec is not None:
        raise InvalidArgumentError(
            "the job names a profile and carries one; give one of the two", field="job.profile"
        )
    if order.profile_spec is not None:
        profile = check_profile(order.profile_spec)
    elif order.profile:
        profile = catalogue.get(profile_id(order.profile))
    else:
        raise InvalidArgumentError(
            "the job has no profile; name one, as profiles/h264-720p", field="job.profile"
        )
    return profile if order.container is None else with_container(profile, order.container)


def profile_id(name: str) -> str:
    """Return the id in `profiles/{id}`; the collection may be left out."""
    return bare(name.strip(), "profiles")


def check_profile(given: Profile) -> Profile:
    """Check a profile that came with a request. Raises InvalidProfileError."""
    name = given.name or _OWN_PROFILE
    if not _PROFILE_NAME.fullmatch(name):
        raise InvalidProfileError(
            f"'{name[:80]}' is no name for a profile: lower-case letters, digits, '.', '_' and "
            "'-', at most 64",
            field="job.profile_spec.name",
        )
    raw: dict[str, object] = {
        "description": given.description,
        "container": given.container.value,
        "subtitles": given.subtitles,
        "chapters": given.chapters,
        "attachments": given.attachments,
        "metadata": given.metadata,
    }
    if given.video is not None:
        raw["video"] = _raw(given.video)
    if given.audio is not None:
        raw["audio"] = _raw(given.audio)
    return build_profile(name, raw, file="request")


def _raw(settings: VideoSettings | AudioSettings) -> dict[str, object]:
    """Return the settings as a profile's file would hold them: what is left out is left out."""
    values = {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if field.name != "codec" and getattr(settings, field.name) != field.default
    }
    return {"codec": settings.codec.value, **values}


def _deadline(deadline: datetime | None, now: datetime) -> datetime | None:
    if deadline is not None and deadline <= now:
        raise _wrong("job.deadline", f"{deadline:%Y-%m-%dT%H:%M:%SZ}", "a time to come")
    return deadline


def _ttl(ttl: timedelta | None) -> timedelta | None:
    if ttl is not None and not timedelta(0) < ttl <= _MAX_TTL:
        raise _wrong("job.ttl", f"{ttl.total_seconds():g} s", "more than 0 s and at most ten years")
    return ttl


def _max_retries(asked: int | None, limits: JobLimits) -> int:
    if asked is None:
        return min(limits.default_max_retries, limits.max_retries)
    if asked < 0:
        raise _wrong("job.max_retries", str(asked), "0 or more")
    return min(asked, limits.max_retries)


def _labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    if len(labels) > MAX_LABELS:
        raise _wrong("job.labels", f"{len(labels)} labels", f"at most {MAX_LABELS}")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise _wrong("job.labels", f"key '{key[:80]}'", "1 to 63 characters of [a-z0-9_.-]")
        if len(value) > _MAX_LABEL_VALUE:
            raise _wrong("job.labels", f"a value of {len(value)} characters", "at most 255")
    return dict(labels)


def _request_id(request_id: str) -> str:
    if len(request_id) > _MAX_REQUEST_ID or _CONTROL.search(request_id):
        raise _wrong("request_id", f"has {len(request_id)} characters", "1 to 64 printable ones")
    return request_id


def _between(value: int, low: int, high: int, field: str) -> int:
    if not low <= value <= high:
        raise _wrong(field, str(value), f"{low} to {high}")
    return value


def _wrong(field: str, what: str, allowed: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{field} is not acceptable: {what}; allowed is {allowed}", field=field
    )
