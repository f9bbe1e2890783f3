"""What the media token of the call at hand allows: it names one object and one action."""

from distconv.core.errors import UnauthenticatedError
from distconv.rpc.auth import principal
from distconv.rpc.tokens import MediaAction, MediaClaims
from distconv.storage.names import Place, UploadId, parse_object


def claims() -> MediaClaims:
    """Return what the token says. Raises UnauthenticatedError when there is none."""
    found = principal().media
    if found is None:
        raise UnauthenticatedError("storage takes media access tokens alone")
    return found


def allowed_place(name: str, action: MediaAction, *, field: str) -> Place:
    """Return the named object of the token's tenant, if the token allows that action on it."""
    token = claims()
    object_id = parse_object(name, field=field)
    token.require(action, object_id)
    return Place(tenant=token.tenant, object_id=object_id)


def allowed_upload(name: str, *, field: str = "name") -> tuple[str, UploadId]:
    """Return the tenant and the upload, if the token allows to write its object."""
    token = claims()
    upload_id = UploadId.parse(name, field=field)
    token.require(MediaAction.WRITE, upload_id.object_id)
    return token.tenant, upload_id
