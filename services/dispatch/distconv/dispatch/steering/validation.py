"""The one boundary at which a job order is checked. Pure, but for the catalogue of profiles."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from distconv.core.descriptions import check_file_name, check_labels
from distconv.core.errors import InvalidArgumentError, InvalidProfileError
from distconv.core.names import parse_id, profile_id
from distconv.core.profile import AudioSettings, Container, Profile, VideoSettings
from distconv.core.profile_schema import build_profile
from distconv.core.profiles import ProfileCatalogue, with_container
from distconv.core.transfer import TransferMode
from distconv.dispatch.steering.order import JobOrder
from distconv.dispatch.steering.request_digest import digest

MAX_PRIORITY = 100
MAX_TAGS = 16
# A requirement set has one key of 255 characters: what is left of it beside encoders, muxer and
# engine; every tag is written ` tag=NAME`.
_MAX_TAGS_LENGTH = 160
_TAG_FRAME = 5
_MAX_REQUEST_ID = 64
_MAX_TTL = timedelta(days=3650)
_LABEL_KEY = re.compile(r"[a-z0-9_.-]{1,63}")
_PROFILE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?")
_OWN_PROFILE = "custom"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """What the server caps, and what it takes where an order says nothing."""

    default_max_retries: int
    max_retries: int
    default_ttl: timedelta | None = None


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
    engine_tags: tuple[str, ...]
    transfer_mode: TransferMode | None
    request_id: str
    digest: str
    validate_only: bool


class OrderChecker:
    """Check orders that came together; each distinct profile is checked once."""

    def __init__(self, catalogue: ProfileCatalogue, limits: JobLimits, now: datetime) -> None:
        self._catalogue = catalogue
        self._limits = limits
        self._now = now
        self._profiles: dict[tuple[str, Profile | None, Container | None], Profile] = {}

    def check(self, order: JobOrder) -> CheckedOrder:
        """Check every value of an order.

        Raises InvalidArgumentError naming the field, InvalidProfileError, or
        UnknownProfileError.
        """
        return CheckedOrder(
            source_object_id=parse_id(order.source_object, "objects", field="job.source.object"),
            source_file_name=check_file_name(order.source_file_name, field="job.source.file_name"),
            profile=self.profile(order.profile, order.profile_spec, order.container),
            priority=check_priority(order.priority),
            deadline=check_deadline(order.deadline, self._now),
            ttl=check_ttl(order.ttl) or self._limits.default_ttl,
            max_retries=check_max_retries(order.max_retries, self._limits),
            labels=check_labels(order.labels, field="job.labels"),
            engine_tags=check_tags(order.engine_tags),
            transfer_mode=order.transfer_mode,
            request_id=check_request_id(order.request_id),
            digest=digest(order) if order.request_id else "",
            validate_only=order.validate_only,
        )

    def profile(self, name: str, spec: Profile | None, container: Container | None) -> Profile:
        """Return the profile that was named or given, with the container that was asked for."""
        key = name, spec, container
        if key not in self._profiles:
            self._profiles[key] = self._profile(*key)
        return self._profiles[key]

    def _profile(self, name: str, spec: Profile | None, container: Container | None) -> Profile:
        if name and spec is not None:
            raise InvalidArgumentError(
                "the job names a profile and carries one; give one of the two", field="job.profile"
            )
        if spec is not None:
            profile = check_profile(spec)
        elif name:
            profile = self._catalogue.get(profile_id(name))
        else:
            raise InvalidArgumentError(
                "the job has no profile; name one, as profiles/h264-720p", field="job.profile"
            )
        return profile if container is None else with_container(profile, container)


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


def check_priority(priority: int) -> int:
    """Return the priority when it is in its range. Raises InvalidArgumentError."""
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise _wrong("job.priority", str(priority), f"{-MAX_PRIORITY} to {MAX_PRIORITY}")
    return priority


def check_deadline(deadline: datetime | None, now: datetime) -> datetime | None:
    """Return the deadline when it is to come, or none. Raises InvalidArgumentError."""
    if deadline is not None and deadline <= now:
        raise _wrong("job.deadline", f"{deadline:%Y-%m-%dT%H:%M:%SZ}", "a time to come")
    return deadline


def check_ttl(ttl: timedelta | None) -> timedelta | None:
    """Return the ttl when it is in its range, or none. Raises InvalidArgumentError."""
    if ttl is not None and not timedelta(0) < ttl <= _MAX_TTL:
        raise _wrong("job.ttl", f"{ttl.total_seconds():g} s", "more than 0 s and at most ten years")
    return ttl


def check_max_retries(asked: int | None, limits: JobLimits) -> int:
    """Return the retries that the server grants. Raises InvalidArgumentError."""
    if asked is None:
        return min(limits.default_max_retries, limits.max_retries)
    if asked < 0:
        raise _wrong("job.max_retries", str(asked), "0 or more")
    return min(asked, limits.max_retries)


def check_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the tags, each once, when all are acceptable. Raises InvalidArgumentError."""
    if len(tags) > MAX_TAGS:
        raise _wrong("job.engine_tags", f"{len(tags)} tags", f"at most {MAX_TAGS}")
    for tag in tags:
        if not _LABEL_KEY.fullmatch(tag):
            raise _wrong("job.engine_tags", f"'{tag[:80]}'", "1 to 63 characters of [a-z0-9_.-]")
    distinct = tuple(dict.fromkeys(tags))
    length = sum(map(len, distinct))
    if length > _MAX_TAGS_LENGTH - _TAG_FRAME * len(distinct):
        raise _wrong(
            "job.engine_tags",
            f"{len(distinct)} tags of {length} characters together",
            f"{_MAX_TAGS_LENGTH} characters together, {_TAG_FRAME} of them for each tag's frame",
        )
    return distinct


def check_request_id(request_id: str) -> str:
    """Return the request id when it is acceptable, or empty. Raises InvalidArgumentError."""
    if len(request_id) > _MAX_REQUEST_ID or _CONTROL.search(request_id):
        raise _wrong("request_id", f"has {len(request_id)} characters", "1 to 64 printable ones")
    return request_id


def _wrong(field: str, what: str, allowed: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{field} is not acceptable: {what}; allowed is {allowed}", field=field
    )
