"""The settings of distconv-dispatch."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from distconv.core.transfer import TransferMode
from distconv.dispatch.scheduling_settings import SchedulingSettings
from distconv.process.settings import TextList, default_data_dir

TABLE = "dispatch"


class DispatchSettings(SchedulingSettings):
    """What can be set, with units, ranges and defaults."""

    bind: str = Field(
        "127.0.0.1:7400",
        description="Where to listen, host:port; port 0 takes a free one. Default 127.0.0.1:7400",
    )
    tls_cert: Path | None = Field(
        None,
        description="Certificate to show, PEM, with those that signed it behind it; unset: serve "
        "in the clear",
    )
    tls_key: Path | None = Field(None, description="Key of tls_cert, PEM without a password")
    tls_ca: Path | None = Field(
        None,
        description="Certificates, PEM, one of which signed those of storage, embedded storage "
        "too; unset: talk to storage in the clear",
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder of this process: its lock and identity, the SQLite database, the "
        "media key and embedded storage",
    )
    storage_addresses: TextList = Field(
        (),
        description="Where storage services listen, host:port; none: storage is embedded",
    )
    media_key_file: Path | None = Field(
        None,
        description="Key shared with storage services and other replicas that signs media access, "
        "32 bytes or more; unset: media.key in data_dir, made when missing",
    )
    database_url: str = Field(
        "",
        repr=False,
        description="PostgreSQL for a fleet, postgresql://user:password@host:5432/database; "
        "empty: SQLite in data_dir. Default empty",
    )
    database_password_file: Path | None = Field(
        None, description="File that holds the password for database_url, in place of one in it"
    )
    database_pool_size: int = Field(
        10, ge=2, le=200, description="Connections to PostgreSQL at most, 2..200. Default 10"
    )
    database_timeout_s: float = Field(
        2.0,
        ge=0.1,
        le=60,
        description="How long to wait for a connection to PostgreSQL or a free one of the pool, "
        "s, 0.1..60. Default 2",
    )
    nats_url: TextList = Field(
        (),
        repr=False,
        description="NATS servers that carry events and hints between replicas, nats://host:4222 "
        "each; none: within this process alone",
    )
    nats_credentials_file: Path | None = Field(
        None, description="NATS credentials file, for a NATS that asks for one"
    )
    nats_stream_replicas: int = Field(
        1,
        ge=1,
        le=5,
        description="On how many servers of a NATS cluster events are kept, 1..5, odd. Default 1",
    )
    nats_prefix: str = Field(
        "distconv",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$",
        description="What subjects and streams begin with; two farms on one NATS need two. "
        "Default distconv",
    )
    advertise: str = Field(
        "",
        max_length=255,
        description="Where engines and clients reach this replica, host:port; others send engines "
        "there when they drain; empty: as bind",
    )
    presence_interval_s: float = Field(
        10.0,
        ge=0.5,
        le=300,
        description="How often heartbeats are stored and replicas tell of themselves, s, 0.5..300. "
        "Default 10",
    )
    reflection: bool = Field(
        default=False, description="Whether to serve gRPC reflection. Default false"
    )
    transfer: Literal["streaming", "file"] = Field(
        "streaming",
        description="How media travels to engines where it can go either way and the job asks for "
        "neither: streaming, or file, where the engine has the scratch disk for it. "
        "Default streaming",
    )
    heartbeat_interval_s: float = Field(
        5.0, ge=0.1, le=300, description="How often engines report, s, 0.1..300. Default 5"
    )
    lease_duration_s: float = Field(
        20.0,
        ge=0.5,
        le=3600,
        description="How long an engine may be silent before it loses its work, s, 0.5..3600. "
        "Default 20",
    )
    default_max_retries: int = Field(
        2, ge=0, le=100, description="Failed attempts allowed after the first. Default 2"
    )
    max_retries: int = Field(
        10, ge=0, le=100, description="The most that a job may ask for of these. Default 10"
    )
    default_job_ttl_s: float = Field(
        0.0,
        ge=0,
        le=3650 * 86_400,
        description="How long a job that names no ttl may stay unfinished before it fails as "
        "EXPIRED, s, 0..315360000; 0: for ever. Default 0",
    )
    retry_first_delay_s: float = Field(
        2.0, ge=0, le=3600, description="Delay before the first retry, s, 0..3600. Default 2"
    )
    retry_max_delay_s: float = Field(
        300.0,
        ge=0,
        le=86_400,
        description="Longest delay before a retry, s, 0..86400; it doubles until then. Default 300",
    )
    stall_timeout_s: float = Field(
        120.0,
        ge=1,
        le=86_400,
        description="An attempt without progress for so long is ended, s, 1..86400. Default 120",
    )
    media_ttl_s: float = Field(
        86_400.0,
        ge=60,
        le=30 * 86_400,
        description="How long signed access to media holds, s, 60..2592000; an attempt must end "
        "within it. Default 86400",
    )
    max_source_bytes: int = Field(
        1 << 40, ge=1, description="The largest source that is taken, bytes. Default 1 TiB"
    )
    progress_interval_s: float = Field(
        0.1,
        ge=0,
        le=10,
        description="Shortest time between two snapshots of a watched job's progress, s, 0..10. "
        "Default 0.1",
    )
    request_retention_s: float = Field(
        7 * 86_400.0,
        ge=60,
        le=365 * 86_400,
        description="How long a request_id is remembered at least, s, 60..31536000; the same "
        "request within it makes nothing twice. Default 604800 (7 days)",
    )
    deleted_job_retention_s: float = Field(
        30 * 86_400.0,
        ge=0,
        le=3650 * 86_400,
        description="How long a deleted job can still be read by its name, s, 0..315360000; then "
        "it is forgotten with its history. Default 2592000 (30 days)",
    )
    profile_pools: TextList = Field(
        (),
        description="Storage pools for what is made with a profile, PROFILE=POOL; else it goes "
        "where storage puts what is the tenant's",
    )
    output_retention_s: float | None = Field(
        None,
        ge=0,
        le=3650 * 86_400,
        description="How long the result of a job is kept in storage after the job's end, s, "
        "0..315360000; unset: until somebody deletes it",
    )
    collect_interval_s: float = Field(
        3600.0,
        ge=1,
        le=30 * 86_400,
        description="Time between two looks for objects that no job needs, s, 1..2592000. "
        "Default 3600",
    )
    progress_event_interval_s: float = Field(
        5.0,
        ge=1,
        le=3600,
        description="Shortest time between two ProgressUpdated events of a job, s, 1..3600. "
        "Default 5",
    )
    sweep_interval_s: float = Field(
        5.0,
        ge=0.1,
        le=3600,
        description="How often a replica looks for what the others did not get to tell it, s, "
        "0.1..3600; only with replicas. Default 5",
    )
    share_interval_s: float = Field(
        0.5,
        ge=0.05,
        le=60,
        description="How often a replica tells the others of the progress of its jobs, s, "
        "0.05..60; only with replicas. Default 0.5",
    )
    new_database: bool = Field(
        default=False,
        description="Whether to make an empty SQLite database where one is missing though there "
        "are backups of it. Default false",
    )
    backup_interval_s: float = Field(
        86_400.0,
        ge=0,
        le=30 * 86_400,
        description="How often the SQLite database is copied to backups/ in data_dir, s, "
        "0..2592000; 0: never. Default 86400",
    )
    backup_count: int = Field(
        7, ge=1, le=1000, description="How many of these backups are kept, 1..1000. Default 7"
    )
    drain_grace_s: float = Field(
        5.0, ge=0, le=600, description="How long calls may go on at shutdown, s, 0..600. Default 5"
    )

    @property
    def default_transfer(self) -> TransferMode:
        """Return how media travels where either way would do and the job asks for neither."""
        return TransferMode(self.transfer.upper())

    @property
    def heartbeat_interval(self) -> timedelta:
        """Return how often engines report."""
        return timedelta(seconds=self.heartbeat_interval_s)

    @field_validator("profile_pools")
    @classmethod
    def _check_profile_pools(cls, pairs: Sequence[str]) -> Sequence[str]:
        for pair in pairs:
            profile, _, pool = pair.partition("=")
            if not profile or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", pool):
                raise ValueError(f"'{pair}' is not PROFILE=POOL")
        return pairs

    @property
    def pools_by_profile(self) -> Mapping[str, str]:
        """Return the storage pools for what is made with profiles."""
        return {
            profile: pool for profile, _, pool in (p.partition("=") for p in self.profile_pools)
        }

    @property
    def output_retention(self) -> timedelta | None:
        """Return how long results are kept after their jobs' ends; None: for ever."""
        kept = self.output_retention_s
        return None if kept is None else timedelta(seconds=kept)

    @property
    def default_job_ttl(self) -> timedelta | None:
        """Return the ttl of jobs that name none; None: for ever."""
        return timedelta(seconds=self.default_job_ttl_s) or None

    @property
    def lease_duration(self) -> timedelta:
        """Return how long an engine may be silent."""
        return timedelta(seconds=self.lease_duration_s)

    @property
    def key_file(self) -> Path:
        """Return where the key lies that signs media access."""
        return self.media_key_file or self.data_dir / "media.key"

    @property
    def presence_interval(self) -> timedelta:
        """Return how often heartbeats are stored."""
        return timedelta(seconds=self.presence_interval_s)

    @property
    def engine_silence(self) -> timedelta:
        """Return after what silence an engine counts as gone, a lost stored heartbeat included."""
        return self.lease_duration + 2 * self.presence_interval

    @property
    def database(self) -> Path:
        """Return where the SQLite database lies."""
        return self.data_dir / "dispatch.db"
