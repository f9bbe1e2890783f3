"""From settings to a bucket: which object store, where, and how patient."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from distconv.core.errors import InvalidArgumentError
from distconv.storage.providers.object_bucket import Bucket

if TYPE_CHECKING:
    from obstore.store import (
        AzureConfig,
        BackoffConfig,
        ClientConfig,
        GCSConfig,
        RetryConfig,
        S3Config,
    )

_CONNECT_TIMEOUT = timedelta(seconds=5)
_FIRST_PAUSE = timedelta(milliseconds=100)
_RETRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketOptions:
    """Where a bucket is and how to ask it; `settings.StorageSettings` says what each means.

    `setting` is the name of that which says so, for messages.
    """

    url: str
    setting: str = "bucket_url"
    endpoint: str = ""
    public_endpoint: str = ""
    signs: bool = True
    region: str = ""
    timeout: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(seconds=10)
    segment_bytes: int = 8 * 1024 * 1024


def connect(options: BucketOptions) -> Bucket:
    """Return the bucket; nothing is asked of it yet. Raises InvalidArgumentError.

    Credentials come from the environment, or from the machine's role in its cloud.
    """
    try:
        store = _store(options)
        signer = _store(replace(options, endpoint=options.public_endpoint or options.endpoint))
    except (BaseError, ValueError) as error:
        raise InvalidArgumentError(
            f"{options.url} cannot be used: {str(error).partition(chr(10))[0]}; correct "
            f"{options.setting}, bucket_endpoint or bucket_region",
            field=options.setting,
        ) from error
    return Bucket(
        store,
        name=options.url,
        part_bytes=options.segment_bytes,
        signer=signer if options.signs else None,
    )


def _store(options: BucketOptions) -> ObjectStore:
    parts = urlsplit(options.url)
    bucket, prefix = parts.netloc, parts.path.strip("/") or None
    client, retry = _client(options), _retry(options.patience)
    if parts.scheme == "s3":
        s3: S3Config = {}
        if options.endpoint:
            s3["endpoint"] = options.endpoint
        if options.region:
            s3["region"] = options.region
        return S3Store(bucket, prefix=prefix, config=s3, client_options=client, retry_config=retry)
    if parts.scheme == "gs":
        gcs: GCSConfig = {"base_url": options.endpoint} if options.endpoint else {}
        return GCSStore(
            bucket, prefix=prefix, config=gcs, client_options=client, retry_config=retry
        )
    azure: AzureConfig = {"endpoint": options.endpoint} if options.endpoint else {}
    return AzureStore(
        bucket, prefix=prefix, config=azure, client_options=client, retry_config=retry
    )


def _client(options: BucketOptions) -> "ClientConfig":
    config: ClientConfig = {"connect_timeout": _CONNECT_TIMEOUT, "timeout": options.timeout}
    if options.endpoint.startswith("http://"):  # asked for in so many words
        config["allow_http"] = True
    return config


def _retry(patience: timedelta) -> "RetryConfig":
    # The second has to be larger than the first: obstore panics otherwise.
    backoff: BackoffConfig = {
        "init_backoff": _FIRST_PAUSE,
        "max_backoff": max(patience / 4, 2 * _FIRST_PAUSE),
    }
    return {
        "retry_timeout": patience,
        "max_retries": _RETRIES if patience else 0,
        "backoff": backoff,
    }
