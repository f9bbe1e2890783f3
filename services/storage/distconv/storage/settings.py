"""The settings of the storage service: table `storage`, variables `DISTCONV_STORAGE_…`."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from distconv.process.settings import ProcessSettings, TextList, default_data_dir
from distconv.rpc.limits import MAX_CHUNK_BYTES, MIN_CHUNK_BYTES
from distconv.storage.limits import MIB, Limits, Pace
from distconv.storage.locations import (
    BucketLocation,
    Location,
    check_bucket,
    check_endpoint,
    require_apart,
    require_buckets,
)
from distconv.storage.names import MAIN_POOL
from distconv.storage.pairs import capacity_pair, pool_pair, quota_pair, tenant_pool_pair
from distconv.storage.quotas import QuotaLimits

TABLE = "storage"
# What reads an item of each list. Whether it is one at all does not depend on the main bucket.
_PAIRS: Mapping[str, Callable[[str], object]] = {
    "pools": partial(pool_pair, others=BucketLocation(url="")),
    "pool_capacities": capacity_pair,
    "tenant_pools": tenant_pool_pair,
    "tenant_quotas": quota_pair,
}


class StorageSettings(ProcessSettings):
    """Every limit, timeout and threshold of the storage service."""

    bind: str = Field(
        default="127.0.0.1:7401",
        description="host:port to listen on; port 0 takes a free one; unused inside dispatch",
    )
    tls_cert: Path | None = Field(
        default=None,
        description="certificate to show, PEM, with those that signed it behind it; unset: serve "
        "in the clear; unused inside dispatch",
    )
    tls_key: Path | None = Field(
        default=None, description="key of tls_cert, PEM without a password; unused inside dispatch"
    )
    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="folder to keep everything in, under storage/; on one local file system; with "
        "bucket_url for temporary files alone, under scratch/",
    )
    bucket_url: str = Field(
        default="",
        description="where objects lie instead of on disk, for any number of storage processes: "
        "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX; "
        "credentials come from the environment",
    )
    bucket_endpoint: str = Field(
        default="",
        description="URL of the object store when it is not the cloud's own, as MinIO or Ceph; "
        "http:// sends media in the clear",
    )
    bucket_region: str = Field(
        default="", description="region of an S3 bucket; unset: AWS_REGION, else us-east-1"
    )
    bucket_timeout_s: float = Field(
        default=30, gt=0, le=600, description="s that one request to the object store may take"
    )
    bucket_patience_s: float = Field(
        default=10,
        ge=0,
        le=300,
        description="s that a request which failed in passing is tried again",
    )
    bucket_public_endpoint: str = Field(
        default="",
        description="URL at which engines reach the object store, if not bucket_endpoint; written "
        "into signed URLs",
    )
    signed_urls: bool = Field(
        default=True,
        description="whether URLs of the bucket are given out: to fetch objects, and to put "
        "segments of outputs",
    )
    segment_bytes: int = Field(
        default=8 * MIB,
        ge=5 * MIB,
        le=256 * MIB,
        description="bytes of an upload that make one object of the bucket until it is completed, "
        "and of one part then; so much is also read ahead for one reader",
    )
    segment_delay_s: float = Field(
        default=0.5,
        ge=0,
        le=10,
        description="s that bytes gather for a segment; bounds how late they are acknowledged",
    )
    media_key_file: Path | None = Field(
        default=None,
        description="key shared with dispatch that signs media tokens, 32 bytes or more; "
        "unset: media.key in data_dir, made when missing",
    )
    drain_grace_s: float = Field(
        default=5.0, ge=0, le=3600, description="s that calls may go on after a stop was asked for"
    )
    max_object_bytes: int = Field(
        default=1024**4, ge=1, le=2**62, description="bytes, largest object; 1 TiB"
    )
    max_fragments: int = Field(
        default=65_536,
        ge=1,
        le=262_144,
        description="separate pieces that an upload may have arrived in; bounds memory",
    )
    pools: TextList = Field(
        (),
        description="storage pools beside the main one, NAME=FOLDER, each on a file system of its "
        "own, or NAME=s3://BUCKET/PREFIX (gs://, az:// alike; with ?endpoint=URL, "
        "&public_endpoint=URL and &region=NAME where they are not those of the settings bucket_…); "
        "the bytes of objects lie there, their records in the main pool",
    )
    pool_capacities: TextList = Field(
        (),
        description="bytes that pools may hold, NAME=BYTES, the main one as main; what is not "
        "listed is bound by its disk or object store alone",
    )
    tenant_pools: TextList = Field(
        (), description="pools of tenants, TENANT=POOL; others have the main one"
    )
    tenant_quotas: TextList = Field(
        (),
        description="bytes that tenants may store, NAME=BYTES; what uploads declare counts from "
        "their beginning",
    )
    tenant_quota_bytes: int | None = Field(
        default=None,
        ge=0,
        description="bytes that a tenant may store who is not listed; unset: without bound",
    )
    min_free_bytes: int = Field(
        default=64 * MIB, ge=0, description="bytes of the disk that no new upload may claim"
    )
    write_batch_bytes: int = Field(
        default=2 * MIB,
        ge=MAX_CHUNK_BYTES,
        le=64 * MIB,
        description="bytes gathered of one stream before it is held back; twice that per stream",
    )
    sync_bytes: int = Field(
        default=4 * MIB,
        ge=MAX_CHUNK_BYTES,
        description="bytes written that start a sync to the disk at once",
    )
    sync_delay_s: float = Field(
        default=0.02,
        ge=0,
        le=10,
        description="s from the first byte written to the sync; bounds how late it is acknowledged",
    )
    unsynced_limit_bytes: int = Field(
        default=32 * MIB,
        ge=MAX_CHUNK_BYTES,
        description="bytes that an upload may be ahead of the disk before its writers wait",
    )
    read_piece_bytes: int = Field(
        default=MAX_CHUNK_BYTES,
        ge=MIN_CHUNK_BYTES,
        le=MAX_CHUNK_BYTES,
        description="most bytes of a chunk sent to a reader that asks for long ones; else 256 KiB",
    )
    read_ahead_bytes: int = Field(
        default=MIB,
        ge=4096,
        le=64 * MIB,
        description="bytes read at once, and ahead, for one reader; twice that per stream",
    )
    upload_ttl_s: float = Field(
        default=86_400,
        gt=0,
        description="s without a byte after which an upload is given up; one day",
    )
    rest_after_s: float = Field(
        default=300, gt=0, description="s without a byte after which an upload's files are closed"
    )
    follow_sign_s: float = Field(
        default=5,
        gt=0,
        le=30,
        description="s between two signs to a reader who waits for an upload that it follows",
    )
    follow_idle_s: float = Field(
        default=600,
        gt=0,
        description="s without a byte after which those who follow an upload give it up",
    )
    watch_interval_s: float = Field(
        default=0.5,
        gt=0,
        le=30,
        description="s between two looks at what other storage processes did to an upload that is "
        "followed here; with bucket_url alone",
    )
    sweep_interval_s: float = Field(
        default=60, gt=0, description="s between two looks for uploads to give up"
    )
    io_threads: int = Field(
        default=8, ge=1, le=256, description="threads for reading, writing, syncing and hashing"
    )
    finish_concurrency: int = Field(
        default=2, ge=1, le=256, description="media files finished at the same time"
    )
    finish_stall_timeout_s: float = Field(
        default=60,
        gt=0,
        description="s without progress that end a finishing, plus 1 s for every 10 MB of the file",
    )
    ffmpeg: Path | None = Field(
        default=None,
        description="ffmpeg that finishes media; unset: the one on PATH or of imageio-ffmpeg",
    )

    @property
    def limits(self) -> Limits:
        """Return the bounds that the service works within."""
        return Limits(
            max_object_bytes=self.max_object_bytes,
            max_fragments=self.max_fragments,
            min_free_bytes=self.min_free_bytes,
            write_batch_bytes=self.write_batch_bytes,
            unsynced_limit_bytes=self.unsynced_limit_bytes,
            read_piece_bytes=self.read_piece_bytes,
            upload_ttl=timedelta(seconds=self.upload_ttl_s),
            rest_after=timedelta(seconds=self.rest_after_s),
            follow_sign=timedelta(seconds=self.follow_sign_s),
            follow_idle=timedelta(seconds=self.follow_idle_s),
            pace=self._pace(self.main_location),
            pool_paces={name: self._pace(there) for name, there in self.pool_locations.items()},
        )

    def _pace(self, location: Location) -> Pace:
        if isinstance(location, BucketLocation):
            return Pace(
                sync_bytes=self.segment_bytes,
                sync_delay=timedelta(seconds=self.segment_delay_s),
                read_ahead_bytes=self.segment_bytes,
            )
        return Pace(
            sync_bytes=self.sync_bytes,
            sync_delay=timedelta(seconds=self.sync_delay_s),
            read_ahead_bytes=self.read_ahead_bytes,
        )

    @field_validator("bucket_url")
    @classmethod
    def _check_bucket(cls, url: str) -> str:
        if url:
            check_bucket(url)
        return url

    @field_validator("bucket_endpoint", "bucket_public_endpoint")
    @classmethod
    def _check_endpoint(cls, url: str) -> str:
        if url:
            check_endpoint(url)
        return url

    @field_validator(*_PAIRS)
    @classmethod
    def _check_pairs(cls, texts: Sequence[str], info: ValidationInfo) -> Sequence[str]:
        for text in texts:
            _PAIRS[info.field_name or ""](text)
        return texts

    @model_validator(mode="after")
    def _check_pools(self) -> Self:
        pools = self.pool_locations
        known = {MAIN_POOL, *pools}
        for setting, names in (
            ("pool_capacities", self.quotas.by_pool),
            ("tenant_pools", self.pools_by_tenant.values()),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"'{name}' in {setting} is not one of the pools: {', '.join(sorted(known))}"
                    )
        if MAIN_POOL in pools:
            raise ValueError(
                "the main pool is in data_dir or at bucket_url; give the other pools other names"
            )
        if len(pools) < len(self.pools):
            raise ValueError("two pools have the same name; give each its own")
        if self.bucket_url:
            require_buckets(pools)
        require_apart({MAIN_POOL: self.main_location, **pools})
        return self

    @property
    def quotas(self) -> QuotaLimits:
        """Return what tenants and pools may hold."""
        return QuotaLimits(
            by_tenant=dict(map(quota_pair, self.tenant_quotas)),
            other_tenants=self.tenant_quota_bytes,
            by_pool=dict(map(capacity_pair, self.pool_capacities)),
        )

    @property
    def main_location(self) -> Location:
        """Return where the main pool lies."""
        return self._bucket if self.bucket_url else self.data_dir / "storage"

    @property
    def pool_locations(self) -> Mapping[str, Location]:
        """Return where the pools beside the main one lie."""
        return dict(pool_pair(text, self._bucket) for text in self.pools)

    @property
    def _bucket(self) -> BucketLocation:
        return BucketLocation(
            url=self.bucket_url,
            endpoint=self.bucket_endpoint,
            public_endpoint=self.bucket_public_endpoint,
            region=self.bucket_region,
        )

    @property
    def pools_by_tenant(self) -> Mapping[str, str]:
        """Return the pools that tenants have."""
        return dict(map(tenant_pool_pair, self.tenant_pools))

    @property
    def sweep_interval(self) -> timedelta:
        """Return the time between two sweeps."""
        return timedelta(seconds=self.sweep_interval_s)

    @property
    def watch_interval(self) -> timedelta:
        """Return the time between two looks at uploads that are followed."""
        return timedelta(seconds=self.watch_interval_s)

    @property
    def key_file(self) -> Path:
        """Return where the key that signs media tokens lies."""
        return self.media_key_file or self.data_dir / "media.key"
