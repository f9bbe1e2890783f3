"""What obstore says, in our words."""

import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from distconv.core.errors import UnavailableError
from distconv.storage.providers.object_errors import object_errors


@pytest.mark.parametrize(
    ("bucket", "server", "variables"),
    [
        ("s3://b/p", "169.254.169.254/latest/api/token", "AWS_ACCESS_KEY_ID and"),
        ("gs://b/p", "metadata.google.internal/computeMetadata", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://b/p", "169.254.169.254/metadata/identity", "AZURE_STORAGE_ACCOUNT_NAME and"),
    ],
)
@pytest.mark.parametrize(
    "why", ["Server returned non-2xx status code: 403 Forbidden: no", "HTTP error: error sending"]
)
def test_credentials_that_are_missing_are_not_taken_for_ones_that_are_refused(
    bucket: str, server: str, variables: str, why: str
) -> None:
    said = f"Generic error: Error performing PUT http://{server} in 7.365038ms - {why}"
    with (
        pytest.raises(UnavailableError, match=f"no credentials for {bucket} .* set {variables}"),
        object_errors("the bucket", bucket),
    ):
        raise GenericError(said)


def test_credentials_that_are_refused_are() -> None:
    with (
        pytest.raises(UnavailableError, match=r"refuses storage at s3://b/p \(403 AccessDenied\)"),
        object_errors("x", "s3://b/p"),
    ):
        raise PermissionDeniedError("status code: 403: <Code>AccessDenied</Code>")
