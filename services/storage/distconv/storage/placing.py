"""From settings to where things lie: a provider for each pool, and what tells whose they are."""

from dataclasses import dataclass
from datetime import timedelta

from distconv.core.clock import Clock
from distconv.core.errors import InvalidArgumentError
from distconv.storage.locations import BucketLocation, Location
from distconv.storage.providers.local import LocalProvider
from distconv.storage.providers.local_site import LocalSite
from distconv.storage.providers.marks import Marks, Site
from distconv.storage.providers.pooled import PooledProvider
from distconv.storage.providers.port import Provider
from distconv.storage.settings import StorageSettings
from distconv.storage.threads import Threads


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The pools as one provider, and the marks of their places; nothing is touched yet."""

    provider: PooledProvider
    marks: Marks


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pool:
    provider: Provider
    site: Site


def place_pools(settings: StorageSettings, threads: Threads, clock: Clock) -> Placed:
    """Make what the settings say. Raises InvalidArgumentError for a bucket that cannot be one."""

    def make(location: Location, setting: str) -> _Pool:
        if isinstance(location, BucketLocation):
            return _in_bucket(settings, location, setting, threads, clock)
        return _Pool(provider=LocalProvider(location, threads), site=LocalSite(location, threads))

    main = make(settings.main_location, "bucket_url")
    pools = {name: make(there, "pools") for name, there in settings.pool_locations.items()}
    return Placed(
        provider=PooledProvider(main.provider, {name: p.provider for name, p in pools.items()}),
        marks=Marks(main.site, {name: pool.site for name, pool in pools.items()}),
    )


def _in_bucket(
    settings: StorageSettings,
    location: BucketLocation,
    setting: str,
    threads: Threads,
    clock: Clock,
) -> _Pool:
    # An extra, which only those install who have a bucket.
    try:
        from distconv.storage.providers.object_connect import (  # noqa: PLC0415
            BucketOptions,
            connect,
        )
        from distconv.storage.providers.object_site import ObjectSite  # noqa: PLC0415
        from distconv.storage.providers.object_store import ObjectStoreProvider  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InvalidArgumentError(
            f"{location.url} needs the package {error.name}; "
            "install it with pip install 'distconv[s3]'",
            field=setting,
        ) from error
    bucket = connect(
        BucketOptions(
            url=location.url,
            setting=setting,
            endpoint=location.endpoint,
            public_endpoint=location.public_endpoint,
            signs=settings.signed_urls,
            region=location.region,
            timeout=timedelta(seconds=settings.bucket_timeout_s),
            patience=timedelta(seconds=settings.bucket_patience_s),
            segment_bytes=settings.segment_bytes,
        )
    )
    scratch = settings.data_dir / "scratch"
    return _Pool(
        provider=ObjectStoreProvider(bucket, scratch, threads, clock), site=ObjectSite(bucket)
    )
