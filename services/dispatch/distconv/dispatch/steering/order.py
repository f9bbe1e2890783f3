"""What a user asks for, as it came: nothing in it has been checked yet."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from distconv.core.profile import Container, Profile
from distconv.core.transfer import TransferMode


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """A CreateJob request.

    `profile` is a resource name, `profile_spec` a profile of the user's own;
    one of the two is to be given. `container` None means the profile's own,
    `transfer_mode` None what the server is set to.
    """

    source_object: str = ""
    source_file_name: str = ""
    profile: str = ""
    profile_spec: Profile | None = None
    container: Container | None = None
    priority: int = 0
    deadline: datetime | None = None
    ttl: timedelta | None = None
    max_retries: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    engine_tags: tuple[str, ...] = ()
    request_id: str = ""
    validate_only: bool = False
    transfer_mode: TransferMode | None = None
