"""What obstore says of an object store, as errors of the tree.

obstore has few classes of errors; the rest is in its text: the status of the
answer, and the code in its body that S3, Google Cloud Storage and Azure give.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import structlog
from obstore.exceptions import (
    AlreadyExistsError as TakenError,
)
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)

from distconv.core.errors import (
    AlreadyExistsError,
    DiskFullError,
    DistconvError,
    NotFoundError,
    UnavailableError,
)

_log = structlog.get_logger()
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
# What follows the sentence is the same again as Rust prints it.
_DEBUG = "\n\nDebug source"
_NO_BUCKET = frozenset(["NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"])
_FULL = frozenset(["XMinioStorageFull", "QuotaExceeded", "InsufficientStorage"])
# Where clouds hand credentials to their own machines: asked when the environment has none.
_CREDENTIAL_SERVERS = ("169.254.169.254", "169.254.170.2", "metadata.google.internal")
# What the environment may have them in, by the kind of object store.
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


@contextmanager
def object_errors(key: str, bucket: str, *, reading: bool = False) -> Iterator[None]:
    """Turn what obstore raises into the tree's error; `key` and `bucket` say of what.

    A missing thing is NotFoundError only when `reading`.
    """
    try:
        yield
    except FileNotFoundError as error:
        code = _code(str(error))
        if reading and code not in _NO_BUCKET:
            raise NotFoundError(f"{key} does not exist at storage") from error
        raise _logged(error, key, bucket) from error
    except TakenError as error:
        raise AlreadyExistsError(f"{key} is at storage already") from error
    except BaseError as error:
        raise _logged(error, key, bucket) from error


def _logged(error: Exception, key: str, bucket: str) -> DistconvError:
    text = str(error).partition(_DEBUG)[0]
    _log.error("object_store_failed", key=key, bucket=bucket, error=text)
    return _translate(error, text, key, bucket)


def _translate(error: Exception, text: str, key: str, bucket: str) -> DistconvError:
    metadata = {"key": key}
    status, code = _status(text), _code(text)
    # First: what those say, a 403 too, is not the object store's answer.
    if any(server in text for server in _CREDENTIAL_SERVERS):
        variables = _CREDENTIALS.get(urlsplit(bucket).scheme, "its credentials")
        return UnavailableError(
            f"storage has no credentials for {bucket} in its environment, and its machine gets "
            f"none from a cloud; set {variables}",
            metadata=metadata,
        )
    answer = " ".join(part for part in (str(status or ""), code) if part)
    if code in _NO_BUCKET or isinstance(error, FileNotFoundError):
        return UnavailableError(
            f"the bucket of {bucket} does not exist; create it, or correct the setting that names "
            "it (bucket_url, or pools)",
            metadata=metadata,
        )
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in (401, 403):
        return UnavailableError(
            f"the object store refuses storage at {bucket} ({answer or 'no access'}); see that the "
            "credentials hold and allow to read, write, list and delete there",
            metadata=metadata,
        )
    if code in _FULL or status == 507:
        return DiskFullError(
            f"the object store has no room left at {bucket} ({answer}): {key} cannot be written; "
            "free space there and try again",
            metadata=metadata,
        )
    if status is None:
        return UnavailableError(
            f"the object store of {bucket} cannot be reached; see that it runs, and that its "
            "endpoint in the settings (bucket_endpoint, or pools) and the network are right",
            metadata=metadata,
        )
    return UnavailableError(
        f"the object store of {bucket} failed at {key} ({answer}); try again, and see its own log",
        metadata=metadata,
    )


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return int(found[1]) if found else None


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""
